# SPDX-License-Identifier: MIT
"""What doctor tells of the probe."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aodasync import probes
from aodasync.actions import UserAction
from aodasync.cli.doctor import host_checks, own_checks, start_checks
from aodasync.cli.doctor.check import Check
from aodasync.cli.doctor.diagnosis import as_json, as_text, diagnose, exit_code
from aodasync.cli.doctor.left_out import retry_actions
from aodasync.cli.doctor.probe_checks import probe_checks
from aodasync.config import load
from aodasync.config.model import Metrics
from aodasync.errors import AgentUnreachableError, LayoutError, RequirementError
from aodasync.host import state_file
from aodasync.host.mountinfo import Mount
from aodasync.probes.interface import Attachment, Candidate, ProbePlan
from aodasync.probes.requirements import lockdown_hint
from aodasync.process import launch
from tests.builders import config

pytestmark = pytest.mark.anyio

PLAN = ProbePlan(
    name="fentry+fexit",
    kernel="6.1",
    attachments=(
        Attachment("release", "fentry", "__release_mid"),
        Attachment("received", "fentry", "dequeue_mid", "not permitted"),
        Attachment("trouble", "raw_tracepoint", "smb3_reconnect"),
        Attachment("trouble", "raw_tracepoint", "smb3_tcon"),
    ),
    notes=("a note",),
    steps_ms={"layout": 12.3, "load": 4.0},
    tried=(
        Candidate("release", "__release_mid", chosen=True, why="known as __release_mid(mid)"),
        Candidate("interim", "smb2_is_status_pending", chosen=False, why="not there"),
        Candidate("trouble", "smb3_reconnect", chosen=True, why="arguments"),
        Candidate("trouble", "smb3_eio", chosen=False, why="not in this kernel"),
    ),
    byte_code="imported",
)


def test_a_plan_is_told_with_all_that_was_tried() -> None:
    """What is attached and why, what was passed over and why, what could not be attached."""
    assert probe_checks(PLAN) == [
        Check("probe", "ok", "fentry+fexit (layout 12 ms, load 4 ms)"),
        Check("probe: byte code", "ok", "imported, compiled on another host; bcc is not needed"),
        Check("probe: release", "ok", "fentry of __release_mid; known as __release_mid(mid)"),
        Check("probe: received", "warning", "fentry of dequeue_mid: not permitted"),
        Check("probe: interim", "ok", "passed over: smb2_is_status_pending, not there"),
        Check("probe: trouble", "ok", "tracepoints smb3_reconnect, smb3_tcon"),
        Check("probe: trouble", "ok", "passed over: smb3_eio, not in this kernel"),
        Check("probe: note", "warning", "a note"),
    ]


class FakeProbe:
    """Only has a plan, and can be closed."""

    plan = PLAN
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root on a host with the client loaded, and no agent running."""

    def asked(*_: Any, **__: Any) -> dict[str, Any]:
        return {"probe": "fentry"}

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(probes, "cifs_loaded", lambda: True)
    monkeypatch.setattr(start_checks, "ask", asked)


async def _diagnosis(tmp_path: Path) -> list[Check]:
    return await diagnose(lambda: config(output_dir=tmp_path), lambda: tmp_path, tmp_path)


@pytest.mark.usefixtures("host")
async def test_the_probe_is_really_attached_and_let_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing else proves that it can be; the JSON has every check."""
    probe = FakeProbe()

    async def open_probe(**_: Any) -> FakeProbe:
        return probe

    monkeypatch.setattr(probes, "open_probe", open_probe)
    checks = await _diagnosis(tmp_path)
    assert probe.closed
    assert set(probe_checks(PLAN)) <= set(checks)
    told = json.loads(as_json(checks))
    assert [check["name"] for check in told["checks"]] == [check.name for check in checks]
    assert "kernel" in told["host"]


@pytest.mark.usefixtures("host")
async def test_a_refused_kernel_fails_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The agent cannot work there."""

    async def open_probe(**_: Any) -> FakeProbe:
        raise LayoutError("this kernel's SMB client is unknown: x", hint="report it")

    monkeypatch.setattr(probes, "open_probe", open_probe)
    checks = await _diagnosis(tmp_path)
    assert exit_code(checks) == 69
    assert "fix: report it" in as_text(checks)


def test_a_kernel_without_types_is_a_warning(tmp_path: Path) -> None:
    """The agent goes without: the last way to look needs none."""
    check = host_checks.types(tmp_path / "vmlinux")
    assert check.state == "warning"
    assert exit_code([check]) == 0


def test_the_tools_of_configured_captures_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each; a missing one with both ways out, and none where nothing is configured."""
    monkeypatch.setitem(launch.ENVIRONMENT, "PATH", "/nonexistent")
    assert host_checks.captures(config()) == []
    (check,) = host_checks.captures(config(captures=("tcpdump",)))
    assert (check.name, check.state, check.detail) == ("capture: tcpdump", "warning", "not found")
    assert check.fix == "apt install tcpdump, or take it out of watcher.captures"


def test_without_kernel_stacks_there_is_a_warning(tmp_path: Path) -> None:
    """What operations wait for cannot be told then; everything else can."""
    stack = tmp_path / "stack"
    assert host_checks.stacks(stack).state == "warning"
    stack.write_text("[<0>] do_syscall_64\n")
    assert host_checks.stacks(stack).state == "ok"


def test_probes_that_nobody_calls_are_a_failure(tmp_path: Path) -> None:
    """With kernel.ftrace_enabled=0 they attach and record nothing; without that switch, they do."""
    switch = tmp_path / "ftrace_enabled"
    assert host_checks.ftrace(switch).state == "ok"
    switch.write_text("0\n")
    assert exit_code([host_checks.ftrace(switch)]) == 69
    switch.write_text("1\n")
    assert host_checks.ftrace(switch).state == "ok"


def test_actions_left_out_after_crashes_can_be_tried_again(tmp_path: Path) -> None:
    """They are named, once; a state that is none of ours is one line with a hint."""
    assert retry_actions(tmp_path) == "no action is left out"
    state_file.save(tmp_path, "crashed-actions.json", {"crashes": {"debugdata": 2}})
    assert retry_actions(tmp_path) == "run again from the agent's next start on: debugdata"
    assert retry_actions(tmp_path) == "no action is left out"
    (tmp_path / "crashed-actions.json").write_text("[]")
    with pytest.raises(RequirementError) as refused:
        retry_actions(tmp_path)
    assert refused.value.hint == "remove the file"


@pytest.mark.usefixtures("host")
async def test_a_bad_configuration_is_one_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of its problems are in it, and everything else is looked at all the same."""

    async def open_probe(**_: Any) -> FakeProbe:
        return FakeProbe()

    monkeypatch.setattr(probes, "open_probe", open_probe)
    bad = tmp_path / "bad.yaml"
    bad.write_text("watch_interval_sec: fast\nrecorder: {max_events: -1}\n")
    checks = await diagnose(lambda: load(bad), lambda: tmp_path, tmp_path)
    by_name = {check.name: check for check in checks}
    assert {"probe", "output directory", "tool: ss"} <= by_name.keys()
    assert by_name["configuration"].detail.splitlines()[0] == f"{bad}: 2 problems"
    text = as_text(checks)
    assert f"{bad}:1:" in text
    assert f"{bad}:2:" in text
    assert exit_code(checks) == 78
    assert text.splitlines()[-1] == "The agent cannot work here: configuration."


@pytest.mark.usefixtures("host")
async def test_the_exit_code_is_of_what_a_start_meets_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a directory and a probe that both fail, the directory's."""

    async def open_probe(**_: Any) -> FakeProbe:
        raise LayoutError("x", hint="y")

    def unreachable(*_: Any, **__: Any) -> dict[str, Any]:
        raise AgentUnreachableError("no agent is running")

    @contextlib.contextmanager
    def free() -> Iterator[None]:
        yield

    monkeypatch.setattr(probes, "open_probe", open_probe)
    monkeypatch.setattr(start_checks, "ask", unreachable)
    monkeypatch.setattr(start_checks, "single_instance", free)
    (tmp_path / "aod").symlink_to(tmp_path)
    checks = await diagnose(lambda: config(output_dir=tmp_path / "aod"), lambda: tmp_path, tmp_path)
    failed = [(check.name, check.exit_code) for check in checks if check.state == "failed"]
    assert failed == [("output directory", 1), ("probe", 69)]
    assert exit_code(checks) == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"blind": True}, "blind"),
        ({"restarts": {"reader": 3}}, "start parts of it again: reader 3"),
    ],
)
async def test_a_running_agent_that_is_not_well_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], says: str
) -> None:
    """It sees nothing, or its tasks die: the agent says so when it is asked."""
    monkeypatch.setattr(start_checks, "ask", lambda *_, **__: status)
    check, is_running = await start_checks.agent()
    assert is_running
    assert check.state == "warning"
    assert says in check.detail


def test_whether_the_service_starts_at_boot_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing without systemd; a warning where the unit is disabled."""
    assert host_checks.service(tmp_path / "none") == []
    systemctl = tmp_path / "systemctl"
    monkeypatch.setitem(launch.ENVIRONMENT, "PATH", f"{tmp_path}:/bin:/usr/bin")
    for words, code, state in (("enabled", 0, "ok"), ("disabled", 1, "warning")):
        systemctl.write_text(f"#!/bin/sh\necho {words}\nexit {code}\n")
        systemctl.chmod(0o700)
        (check,) = host_checks.service(tmp_path)
        assert check.state == state
        assert words in check.detail


def test_a_kernel_that_keeps_its_memory_from_root_is_known(tmp_path: Path) -> None:
    """Under lockdown=confidentiality no program of ours can be loaded: the way out is named."""
    lockdown = tmp_path / "lockdown"
    assert lockdown_hint(lockdown) == ""
    lockdown.write_text("none [integrity] confidentiality\n")
    assert lockdown_hint(lockdown) == ""
    lockdown.write_text("none integrity [confidentiality]\n")
    assert lockdown_hint(lockdown).startswith("boot with lockdown=integrity")


def test_commands_of_the_users_are_found_as_the_agent_finds_them(tmp_path: Path) -> None:
    """Hooks and actions: by its PATH, by their path; what cannot be run is news now."""
    (tmp_path / "hook").write_text("#!/bin/sh\n")
    (tmp_path / "hook").chmod(0o755)
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "plain").chmod(0o644)
    own = tuple(
        UserAction(name, (program,), 1.0)
        for name, program in (
            ("plain", f"{tmp_path}/plain"),
            ("gone", f"{tmp_path}/gone"),
            ("directory", str(tmp_path)),
            ("unknown", "no-such-program"),
        )
    )
    found = own_checks.commands(
        config(on_bundle=(f"{tmp_path}/hook", "x"), on_episode=("true",), user_actions=own)
    )
    assert [(check.name, check.state) for check in found] == [
        ("on_bundle", "ok"),
        ("on_episode", "ok"),
        *((f"action: {action.name}", "warning") for action in own),
    ]
    assert [check.fix for check in found][2:] == [
        *("name a file, and chmod +x it", "install it, or name another") * 2,
    ]
    assert own_checks.commands(config()) == []


def test_what_is_on_a_network_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor runs while its server hangs."""
    mount = Mount("0:9", "/mnt/share", "cifs", "//nas/share")
    monkeypatch.setattr(own_checks, "read_mounts", lambda: (mount,))
    monkeypatch.setattr(os, "stat", None)
    monkeypatch.setattr(os, "access", None)
    there = config(on_bundle=("/mnt/share/hook",), metrics=Metrics("/mnt/share/a.prom"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for check in (*own_checks.commands(there), *own_checks.textfile(there)):
        assert check.state == "warning"
        assert "is on /mnt/share (cifs), which hangs when its server does" in check.detail


def test_a_textfile_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason that the log would have."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    owner = os.stat_result((0o40755, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: owner)
    good = own_checks.textfile(config(metrics=Metrics(f"{tmp_path}/a.prom")))
    assert good == [Check("metrics", "ok", f"{tmp_path}/a.prom")]
    (missing,) = own_checks.textfile(config(metrics=Metrics(f"{tmp_path}/none/a.prom")))
    assert missing.detail == f"{tmp_path}/none: no such file or directory"
    assert own_checks.textfile(config()) == []
