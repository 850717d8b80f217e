# SPDX-License-Identifier: MIT
"""Each action's evidence, and its one entry in the manifest when it fails."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aodasync.actions import (
    BUILTIN,
    Action,
    ActionContext,
    ActionResult,
    Collected,
    Cost,
    UserAction,
    select,
)
from aodasync.actions.command import command_action, user_action
from aodasync.actions.mounts import smb_mounts
from aodasync.actions.running import Run, not_run, run_actions
from aodasync.actions.smbinfo import ask_mounts
from aodasync.actions.syslogs import collect_tails
from aodasync.errors import RequirementError
from aodasync.host.mountinfo import Mount
from aodasync.process import launch

pytestmark = pytest.mark.anyio

_SEVEN = {
    "dmesg": "dmesg.log",
    "journalctl": "journalctl.log",
    "debugdata": "debug_data.log",
    "stats": "cifsstats.log",
    "mounts": "mounts.log",
    "smbinfo": "smbinfo.log",
    "syslogs": "syslogs.log",
}


def _written(context: ActionContext, file: str = "x.log") -> bytes:
    return Path(f"/proc/self/fd/{context.directory_fd}/{file}").read_bytes()


async def _run(
    context: ActionContext,
    *actions: Action,
    slots: int = 4,
    timeout_sec: float = 5,
    guard: asyncio.Lock | None = None,
    done: Callable[[ActionResult], None] = lambda _result: None,
) -> list[ActionResult]:
    run = Run(
        slots=asyncio.Semaphore(slots),
        guard=guard or asyncio.Lock(),
        context=replace(context, timeout_sec=timeout_sec),
        done=done,
    )
    return await run_actions(actions, run)


def _action(
    collect: Callable[[ActionContext], Awaitable[Collected]],
    name: str = "x",
    cost: Cost = Cost.TABLE,
) -> Action:
    return Action(name, f"{name}.log", cost, collect, path="/x")


async def test_the_seven_are_there_with_their_files() -> None:
    """AODv2's seven quick actions write the files that the contract names."""
    assert {name: BUILTIN[name].file for name in _SEVEN} == _SEVEN


async def test_cheap_comes_before_dear_and_debugdata_last() -> None:
    """Whatever the order in the file, the kernel's tables come first and DebugData last."""
    chosen = [action.name for action in select(reversed(list(_SEVEN)), ())]
    assert set(chosen[:2]) == {"mounts", "stats"}
    assert chosen[-2:] == ["smbinfo", "debugdata"]


async def test_a_name_is_run_once_and_the_users_own_wins() -> None:
    """Duplicates are dropped; a declared action replaces the built-in one of its name."""
    own = UserAction("dmesg", ("echo", "mine"), 3.0)
    chosen = select(["dmesg", "mounts", "dmesg"], [own])
    assert [action.name for action in chosen] == ["mounts", "dmesg"]
    assert chosen[1].argv == ("echo", "mine")
    assert chosen[1].timeout_sec == 3.0


async def test_unknown_action_is_its_own_entry(context: ActionContext) -> None:
    """An action that nobody knows fails by itself."""
    (result,) = await _run(context, *select(["guess"], ()))
    assert (result.name, result.error, result.file) == ("guess", "unknown action", None)


@pytest.mark.parametrize(
    ("name", "file"),
    [("net stat", "net-stat.log"), ("../../etc/x", "-..-etc-x.log"), ("", "user.log")],
)
async def test_users_names_become_safe_files(name: str, file: str) -> None:
    """No name of an action leads out of the bundle."""
    assert user_action(UserAction(name, ("true",), 1.0)).file == file


async def test_command_output_and_entry(context: ActionContext) -> None:
    """A command's output is its file; argv, code and size are its entry."""
    (result,) = await _run(context, command_action("x", "x.log", Cost.LOG, ("echo", "evidence")))
    assert _written(context) == b"evidence\n"
    entry = result.as_manifest()
    assert entry["argv"] == ["echo", "evidence"]
    assert (entry["exit_code"], entry["bytes"], entry["error"]) == (0, 9, None)
    assert result.ok


async def test_missing_tool_is_an_error_and_an_empty_file(context: ActionContext) -> None:
    """A host without the tool says which one it lacks."""
    (result,) = await _run(context, command_action("x", "x.log", Cost.LOG, ("aod-none",)))
    assert result.error == "aod-none is not installed"
    assert not result.ok


async def test_journal_begins_with_the_look_back(
    context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is asked for since the episode less the look-back, in whole seconds."""
    asked: list[tuple[str, ...]] = []

    async def note(argv: tuple[str, ...], *_: object, **__: object) -> None:
        asked.append(argv)
        raise RequirementError("enough")

    monkeypatch.setattr(context.children, "run", note)
    await _run(context, BUILTIN["journalctl"])
    assert asked[0][-1] == "--since=@1700000000"
    assert "--no-pager" in asked[0]


async def test_nothing_runs_smbinfo_keys() -> None:
    """The command that prints session keys is in nobody's argument vector."""
    assert all("keys" not in action.argv for action in BUILTIN.values())


async def test_failures_stay_their_own(context: ActionContext) -> None:
    """A defect, an OSError and a hang are three entries; the fourth action is complete."""

    async def defect(_: ActionContext) -> Collected:
        raise KeyError("defect")

    async def full(_: ActionContext) -> Collected:
        raise OSError(28, "No space left on device")

    results = await _run(
        context,
        _action(defect, "defect"),
        _action(full, "full"),
        command_action("hang", "hang.log", Cost.TABLE, ("sleep", "inf"), timeout_sec=0.1),
        command_action("good", "good.log", Cost.TABLE, ("echo", "good")),
    )
    errors = {result.name: result.error for result in results}
    assert errors == {
        "defect": "KeyError: 'defect'",
        "full": "the disk is full: 0 bytes left out",
        "hang": "timed out after 0.1 s",
        "good": "",
    }
    assert [result.timed_out for result in results] == [False, False, True, False]
    assert [result.file for result in results] == [None, None, "hang.log", "good.log"]


async def test_an_action_that_hangs_in_python_is_cut_off(
    context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline holds for what is not a child, too."""
    monkeypatch.setattr("aodasync.actions.running._NET_SEC", 0.05)

    async def hang(_: ActionContext) -> Collected:
        await asyncio.sleep(3600)
        return Collected()

    begun = time.monotonic()
    (result,) = await _run(context, _action(hang), timeout_sec=0.05)
    assert time.monotonic() - begun < 2
    assert (result.timed_out, result.error) == (True, "timed out after 0.05 s")


async def test_slots_bound_what_runs_at_once(context: ActionContext) -> None:
    """Never more actions at once than there are slots; all of them run; guarded ones alone."""
    running: set[str] = set()
    seen: list[frozenset[str]] = []

    def counted(name: str, cost: Cost) -> Action:
        async def collect(_: ActionContext) -> Collected:
            running.add(name)
            seen.append(frozenset(running))
            await asyncio.sleep(0.01)
            running.discard(name)
            return Collected()

        return _action(collect, name, cost)

    done: list[str] = []
    actions = [counted("last", Cost.GUARDED), *(counted(str(n), Cost.LOG) for n in range(7))]
    results = await _run(context, *actions, slots=3, done=lambda result: done.append(result.name))
    assert max(len(at_once) for at_once in seen) == 3
    assert seen[-1] == {"last"}
    assert done[-1] == "last"
    assert [result.name for result in results] == [action.name for action in actions]


async def test_one_guarded_action_at_a_time_in_all_bundles(context: ActionContext) -> None:
    """Two bundles at once never read DebugData side by side."""
    running = most = 0

    async def collect(_: ActionContext) -> Collected:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Collected()

    guard = asyncio.Lock()
    guarded = _action(collect, "debugdata", Cost.GUARDED)
    await asyncio.gather(*(_run(context, guarded, guard=guard) for _ in range(3)))
    assert most == 1


async def test_what_is_not_run_says_why() -> None:
    """In a replay an action has an entry and no file; what it would have run is stated."""
    entry = not_run(BUILTIN["stats"], "needs the live host").as_manifest()
    assert (entry["file"], entry["error"]) == (None, "needs the live host")
    assert entry["argv"] == ["cat", "/proc/fs/cifs/Stats"]


async def test_mounts_are_parsed_with_odd_names() -> None:
    """Spaces, binds and other file systems: each share once, by where it was mounted first."""
    lines = [
        r"36 35 0:50 / /mnt/a\040b rw,relatime shared:1 - cifs //nas/my\040share rw,vers=3.1.1",
        r"37 35 0:50 /sub /mnt/bind rw - cifs //nas/my\040share rw",
        r"38 35 0:51 / /mnt/c rw - smb3 //nas/c rw",
        r"39 35 8:1 / /cifs rw - ext4 cifs rw",
        "garbage",
    ]
    assert smb_mounts(lines) == (
        Mount("0:50", "/mnt/a b", "cifs", "//nas/my share"),
        Mount("0:51", "/mnt/c", "smb3", "//nas/c"),
    )


async def test_mounts_action_lists_without_touching(context: ActionContext) -> None:
    """mounts.log holds both tables' SMB lines and no others."""
    (result,) = await _run(context, replace(BUILTIN["mounts"], file="x.log"))
    assert result.ok
    text = _written(context).decode()
    assert "==> /proc/self/mountinfo <==" in text
    assert "==> /proc/mounts <==" in text
    assert " proc " not in text


async def test_tails_of_what_logs_there_are(context: ActionContext, tmp_path: Path) -> None:
    """The end of each log within its share of the cap; missing ones are no error."""
    big = tmp_path / "syslog"
    big.write_bytes(b"".join(b"line %06d\n" % n for n in range(10_000)))
    collected = await collect_tails(context, (str(big), str(tmp_path / "messages")))
    assert collected == Collected(truncated=True)
    written = _written(context)
    assert len(written) <= context.max_bytes
    assert written.startswith(b"==> ")
    assert written.endswith(b"line 009999\n\n")


async def test_no_log_at_all_is_an_error(context: ActionContext, tmp_path: Path) -> None:
    """A host that logs to the journal alone says so."""
    collected = await collect_tails(context, (str(tmp_path / "syslog"),))
    assert collected.error == f"none of {tmp_path}/syslog exists"


async def test_planted_log_is_not_followed(context: ActionContext, tmp_path: Path) -> None:
    """A link or a FIFO in place of a log is refused, and hangs nobody."""
    (tmp_path / "link").symlink_to("/etc/shadow")
    os.mkfifo(tmp_path / "fifo")
    collected = await collect_tails(context, (str(tmp_path / "link"), str(tmp_path / "fifo")))
    assert "symbolic link" in collected.error
    assert "fifo is not a regular file" in collected.error
    assert b"root" not in _written(context)


def _mounts(count: int) -> tuple[Mount, ...]:
    return tuple(Mount(f"0:{n}", f"/mnt/{n}", "cifs", f"//nas/{n}") for n in range(count))


async def test_each_mount_is_asked_within_one_deadline(context: ActionContext) -> None:
    """A mount that hangs costs its own section; the others' answers are there."""
    script = 'case $0 in /mnt/3) sleep 300;; /mnt/5) exit 4;; esac; echo "answer of $0"'
    begun = time.monotonic()
    collected = await ask_mounts(
        replace(context, timeout_sec=4.0), _mounts(6), ("sh", "-c", script)
    )
    assert time.monotonic() - begun < 4.0 + 3.0
    assert collected.timed_out
    assert collected.exit_code is not None
    assert collected.exit_code < 0
    assert collected.error == "/mnt/3: timed out after 2 s; /mnt/5: exit status 4"
    text = _written(context).decode()
    assert text.count("answer of") == 4
    assert text.index("==> //nas/0 on /mnt/0 <==") < text.index("==> //nas/5 on /mnt/5 <==")


async def test_many_mounts_are_bounded_and_counted(context: ActionContext) -> None:
    """A host of fifty shares has sixteen asked, and the manifest says so."""
    collected = await ask_mounts(context, _mounts(50), ("echo",))
    assert collected.error == "34 more mounts not asked"
    assert _written(context).count(b"==> ") == 16
    assert len(_written(context)) <= context.max_bytes


async def test_mounts_of_the_anomalys_server_are_asked_first(context: ActionContext) -> None:
    """Of more than sixteen, they are not among those that are left out."""
    mounts = (*_mounts(40), Mount("0:99", "/mnt/last", "cifs", "//NAS9/data"))
    await ask_mounts(replace(context, servers=frozenset({"nas9"})), mounts, ("echo",))
    text = _written(context).decode()
    assert text.startswith("==> //NAS9/data on /mnt/last <==")
    assert "//nas/14 on" in text


async def test_smbinfo_without_mounts_or_tool_says_so(
    context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No mounts, and no cifs-utils, are stated as such."""
    mounts: list[Mount] = []

    async def read() -> tuple[Mount, ...]:
        return tuple(mounts)

    monkeypatch.setattr("aodasync.actions.smbinfo.read_smb_mounts", read)
    (result,) = await _run(context, BUILTIN["smbinfo"])
    assert (result.error, result.file) == ("no SMB mounts", None)
    mounts.extend(_mounts(1))
    monkeypatch.setitem(launch.ENVIRONMENT, "PATH", "/nonexistent")
    (result,) = await _run(context, BUILTIN["smbinfo"])
    assert result.error == "smbinfo is not installed (hint: install cifs-utils)"
