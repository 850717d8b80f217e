# SPDX-License-Identifier: MIT
"""Actions that do their worst cost their own entries in the manifest, and nothing else.

The real collector on a real loop, real children, and a task that SIGKILL cannot end.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from aodasync.actions import UserAction
from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.unpacking import members
from aodasync.config.model import Collector as Limits
from aodasync.config.model import Config
from aodasync.process import launch
from tests.builders import archives, config
from tests.kernel.collecting import collect, collector, sampled_lag, trigger
from tests.kernel.frozen_mount import FrozenMount

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("adopting", "as_the_agent")]

LAG_MS: Final = 20.0
FLOOD_BYTES: Final = 1_000_000_000

_FLOOD_SEC: Final = 60.0
_SLACK_SEC: Final = 4.0

_IGNORING: Final = (
    "trap '' TERM INT HUP QUIT; for n in 1 2 3; do"
    " (trap '' TERM INT HUP QUIT; while :; do sleep 300; done) & done; wait; sleep 300"
)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    """A prepared output directory."""
    with OutputDirectory.prepare(tmp_path / "aod") as directory:
        yield directory


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[FrozenMount]:
    """A mount that hangs."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"this kernel has no FUSE: {error}")
    point = tmp_path / "frozen"
    point.mkdir()
    with FrozenMount(point) as mount:
        yield mount


def _own(name: str, script: str, timeout_sec: float = 2.0) -> UserAction:
    return UserAction(name, ("sh", "-c", script), timeout_sec)


def _config(*actions: UserAction, max_concurrent: int = 4) -> Config:
    return config(user_actions=actions, collector=Limits(max_concurrent=max_concurrent))


async def _left() -> dict[int, str]:
    """The state of each child that is there a moment later, zombies buried.

    Actions lead sessions of their own, which tells them from the test's other children.
    """
    await asyncio.sleep(0.3)
    return _children()


def _children() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if int(fields[1]) != os.getpid() or int(fields[3]) == os.getsid(0):
            continue
        if fields[0] == "Z":
            os.waitpid(int(entry.name), 0)
        else:
            found[int(entry.name)] = fields[0]
    return found


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _manifest(output: OutputDirectory) -> dict[str, Any]:
    """The newest bundle's, whole as it must be."""
    path = max(archives(output.batches))
    assert verify(path) == ()
    return read_manifest(path)


def _content(output: OutputDirectory, file: str) -> bytes:
    with members(max(archives(output.batches))) as found:
        return next(member.read(1 << 30) for member in found if member.name == file)


def _errors(output: OutputDirectory) -> dict[str, str | None]:
    return {a["name"]: a["error"] for a in _manifest(output)["actions"]}


async def test_hostile_actions_cost_their_entries_and_no_more(
    output: OutputDirectory, frozen: FrozenMount
) -> None:
    """One sleeps, one floods, some ignore signals, one is not there, one cannot be killed.

    The bundle is there in time and names each one's fate; the loop is never late; nobody is
    left but the one that SIGKILL cannot end, and it is told.
    """
    hostile = (
        UserAction("sleeps", ("sleep", "inf"), 2.0),
        _own("floods", f"head -c {FLOOD_BYTES} /dev/zero", _FLOOD_SEC),
        UserAction("hangs", ("cat", f"{frozen.point}/file"), 2.0),
        _own("forks", _IGNORING),
        UserAction("missing", ("aod-no-such-tool",), 2.0),
        UserAction("nowhere", ("/nonexistent/tool",), 2.0),
        _own("good", "echo good"),
    )
    names = [action.name for action in hostile]
    before = _descriptors()
    hard = collector(_config(*hostile), output)
    begun_sec = time.monotonic()
    async with sampled_lag() as lag:
        logs = await collect(hard, trigger(*names, "mounts", "pressure"))
    took_sec = time.monotonic() - begun_sec
    entries = {a["name"]: a for a in _manifest(output)["actions"]}
    errors = {name: entry["error"] for name, entry in entries.items()}
    print(f"{took_sec:.1f} s, the flood {entries['floods']['duration_ms'] / 1e3:.1f} s")
    stuck = re.fullmatch(
        r"timed out after 2 s and outlived SIGKILL: pid (\d+) left", errors.pop("hangs")
    )
    assert stuck
    assert errors == {
        "sleeps": "timed out after 2 s",
        "floods": None,
        "forks": "timed out after 2 s",
        "missing": "aod-no-such-tool is not installed",
        "nowhere": errors["nowhere"],
        "good": None,
        "mounts": None,
        "pressure": None,
    }
    assert "No such file" in errors["nowhere"]
    flood = entries["floods"]
    assert flood["truncated"]
    assert flood["bytes"] <= Limits().max_action_bytes
    longest_sec = max(flood["duration_ms"] / 1e3, 2 * (2.0 + 1.0))
    assert took_sec < longest_sec + _SLACK_SEC
    assert {e["name"] for e in logs if e["event"] == "action_failed"} == {
        *("sleeps", "hangs", "forks", "missing", "nowhere"),
    }
    assert hard.metrics.actions_abandoned == 1
    assert await _left() == {int(stuck[1]): "D"}
    assert _descriptors() == before + 1  # through which its end will be seen
    frozen.thaw()
    assert await _left() == {}
    assert _descriptors() == before
    assert lag.p99_ms < LAG_MS


@pytest.mark.parametrize("has_setpriv", [True, False], ids=["setpriv", "no setpriv"])
async def test_a_program_on_a_mount_that_hangs_does_not_delay_the_loop(
    output: OutputDirectory,
    frozen: FrozenMount,
    monkeypatch: pytest.MonkeyPatch,
    has_setpriv: bool,  # a parameter of the test
) -> None:
    """The exec of it hangs; only its child waits for that, until its deadline."""
    if not has_setpriv:
        monkeypatch.setattr(launch, "_setpriv", lambda: ("", False))
    hangs = UserAction("hangs", (f"{frozen.point}/program",), 1.0)
    hard = collector(_config(hangs, _own("good", "echo good")), output)
    begun_sec = time.monotonic()
    async with sampled_lag() as lag:
        await collect(hard, trigger("hangs", "good"))
    assert time.monotonic() - begun_sec < 2.0 + _SLACK_SEC
    errors = _errors(output)
    assert str(errors["hangs"]).startswith("timed out after 1 s")
    assert errors["good"] is None
    assert max(lag.all_ms) < 500  # a second, if the loop waited for the exec
    frozen.thaw()
    assert await _left() == {}


@pytest.mark.parametrize(
    "script",
    [
        "yes 'Nov 22 12:00:00 nas kernel: CIFS: VFS: no response'",
        "yes password=Hunter2",
        "yes 'password=Hunter2 session key 0a 0b 0c 0d 0e 0f' | tr '\\n' ' '",
        "yes 'pass ' | tr -d '\\n'",
        "yes eyJhbGciOiJIUzI1NiJ9 | tr -d '\\n'",
    ],
    ids=["lines", "secrets", "secrets in one line", "nearly secrets", "nearly tokens"],
)
async def test_a_flood_that_is_hard_to_redact_leaves_the_loop_free(
    output: OutputDirectory, script: str
) -> None:
    """Whatever a flood makes the redaction search for, it is put down in time and told."""
    hard = collector(_config(_own("floods", script, 1.0)), output)
    async with sampled_lag() as lag:
        await collect(hard, trigger("floods"))
    (entry,) = _manifest(output)["actions"]
    assert entry["error"] == "timed out after 1 s"
    assert entry["duration_ms"] < 1e3 + 1e3 * _SLACK_SEC
    assert b"Hunter2" not in _content(output, "floods.log")
    assert await _left() == {}
    assert lag.p99_ms < LAG_MS


async def test_who_cannot_be_killed_gives_its_slot_back_and_its_mount_is_left_alone(
    output: OutputDirectory, frozen: FrozenMount
) -> None:
    """With one slot in all, what comes after a task in state D runs.

    Until that task is reaped nothing touches its mount again, whatever the command, and the
    next bundle shows where it hangs; afterwards the mount is asked again.
    """
    actions = (
        UserAction("a-hangs", ("cat", f"{frozen.point}/file"), 1.0),
        _own("b-other", f"cat <{frozen.point}/other", 1.0),
        _own("c-good", "echo good"),
    )
    names = [action.name for action in actions]
    narrow = collector(_config(*actions, max_concurrent=1), output)
    async with sampled_lag() as lag:
        await collect(narrow, trigger("a-hangs", "c-good"))
        first = _errors(output)
        assert "outlived SIGKILL" in str(first["a-hangs"])
        assert first["c-good"] is None
        (stuck,) = (await _left()).items()
        assert stuck[1] == "D"
        asked = frozen.requests

        begun_sec = time.monotonic()
        await collect(narrow, trigger(*names, "stacks"))
        assert time.monotonic() - begun_sec < 1.0 + _SLACK_SEC
        assert _errors(output) == {
            "stacks": None,
            "a-hangs": "an earlier cat still hangs in the kernel",
            "b-other": f"{frozen.point} is left alone: a cat still hangs there",
            "c-good": None,
        }
        assert frozen.requests == asked
        assert await _left() == dict([stuck])

        assert b"request_wait_answer" in _content(output, "stacks.log")

        frozen.thaw()
        assert await _left() == {}
        await collect(narrow, trigger(*names))
        assert set(_errors(output).values()) == {None}
        assert frozen.requests > asked
    assert narrow.metrics.actions_abandoned == 1
    assert lag.p99_ms < LAG_MS
