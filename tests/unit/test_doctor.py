# SPDX-License-Identifier: MIT
"""What doctor tells of the probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aodasync import doctor, probes, programs
from aodasync.doctor import Check, as_json, as_text, diagnose, failed, probe_checks
from aodasync.errors import LayoutError
from aodasync.probes.interface import Attachment, Candidate, ProbePlan
from tests.unit.builders import config

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
)


def test_a_plan_is_told_with_all_that_was_tried() -> None:
    """What is attached and why, what was passed over and why, what could not be attached."""
    assert probe_checks(PLAN) == [
        Check("probe", "ok", "fentry+fexit (layout 12 ms, load 4 ms)"),
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
    monkeypatch.setattr(doctor, "ask", asked)


@pytest.mark.usefixtures("host")
async def test_the_probe_is_really_attached_and_let_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing else proves that it can be; the JSON has every check."""
    probe = FakeProbe()

    async def open_probe(**_: Any) -> FakeProbe:
        return probe

    monkeypatch.setattr(probes, "open_probe", open_probe)
    checks = await diagnose(config(output_dir=tmp_path), tmp_path)
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
    checks = await diagnose(config(output_dir=tmp_path), tmp_path)
    assert failed(checks)
    assert "mend: report it" in as_text(checks)


def test_a_kernel_without_types_is_a_warning(tmp_path: Path) -> None:
    """The agent goes without: the last way to look needs none."""
    check = doctor._types(tmp_path / "vmlinux")
    assert check.state == "warning"
    assert not failed([check])


def test_the_tools_of_configured_captures_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each; a missing one with both ways out, and none where nothing is configured."""
    monkeypatch.setitem(programs.ENVIRONMENT, "PATH", "/nonexistent")
    assert doctor._captures(config()) == []
    (check,) = doctor._captures(config(captures=("tcpdump",)))
    assert (check.name, check.state, check.detail) == ("capture: tcpdump", "warning", "not found")
    assert check.mend == "apt install tcpdump, or take it out of watcher.captures"


def test_without_kernel_stacks_there_is_a_warning(tmp_path: Path) -> None:
    """What operations wait for cannot be told then; everything else can."""
    stack = tmp_path / "stack"
    assert doctor._stacks(stack).state == "warning"
    stack.write_text("[<0>] do_syscall_64\n")
    assert doctor._stacks(stack).state == "ok"


def test_probes_that_nobody_calls_are_a_failure(tmp_path: Path) -> None:
    """With kernel.ftrace_enabled=0 they attach and record nothing; without that switch, they do."""
    switch = tmp_path / "ftrace_enabled"
    assert doctor._ftrace(switch).state == "ok"
    switch.write_text("0\n")
    assert failed([doctor._ftrace(switch)])
    switch.write_text("1\n")
    assert doctor._ftrace(switch).state == "ok"
