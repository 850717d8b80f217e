# SPDX-License-Identifier: MIT
"""Captures are kept running, within reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync import probes
from aodasync.actions import Action, Collected, Cost
from aodasync.captures import CAPTURES
from aodasync.errors import RequirementError
from aodasync.process import launch
from aodasync.process.children import Children
from aodasync.tasks import capture_keeper as module
from aodasync.tasks.capture_keeper import Captures, configured
from tests.builders import config

pytestmark = pytest.mark.anyio


async def _nothing(_context: object) -> Collected:
    return Collected()


class _Fake:
    """A capture whose runs a test makes."""

    action = Action("fake", "fake.log", Cost.LOG, _nothing)
    tool, file, private = "fake", "fake.log", ""

    def __init__(self, name: str, run: Callable[[int], str | None]) -> None:
        self.name = name
        self.runs = 0
        self.calls: list[str] = []
        self._run = run

    async def begin(self, _children: Children) -> None:
        self.calls.append("begin")

    async def run(self, _children: Children) -> str:
        self.runs += 1
        error = self._run(self.runs)
        if error is None:
            await asyncio.Event().wait()
        return error or ""

    async def end(self, _children: Children) -> None:
        self.calls.append("end")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SEC", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SEC", 0.004)


async def _live(*captures: _Fake, seconds: float = 0.2) -> tuple[Captures, list[Any]]:
    """Keep them for a while; returns what was logged."""
    keeper = Captures(captures, Children(), structlog.get_logger())
    with capture_logs() as logs:
        task = asyncio.create_task(keeper.run())
        await asyncio.wait({task}, timeout=seconds)
        running = {name: metrics["running"] for name, metrics in keeper.metrics.items()}
        task.cancel()
        await asyncio.wait({task})
    assert [c.calls for c in captures] == [["begin", "end"]] * len(captures)
    logs.append(running)
    return keeper, logs


async def test_what_ends_is_started_again() -> None:
    """Each end is told with its reason and counted; then it runs."""
    fake = _Fake("tcpdump", lambda number: "gone" if number < 3 else None)
    keeper, logs = await _live(fake)
    assert [entry["event"] for entry in logs[:-1]] == ["capture_ended"] * 2
    assert (logs[0]["capture"], logs[0]["error"]) == ("tcpdump", "gone")
    assert logs[-1] == {"tcpdump": True}
    assert keeper.metrics["tcpdump"] == {"running": False, "ended": 2}


async def test_what_keeps_ending_is_given_up() -> None:
    """Eight ends in a row, with growing pauses; the others go on."""
    bad, good = _Fake("bad", lambda _number: "no permission"), _Fake("good", lambda _number: None)
    _, logs = await _live(bad, good)
    events = [entry["event"] for entry in logs[:-1]]
    assert events == ["capture_ended"] * 8 + ["capture_given_up"]
    assert bad.runs == 8
    pauses = [entry["pause_sec"] for entry in logs[:8]]
    assert pauses == [0.001, 0.002, *[0.004] * 6]
    assert logs[-1] == {"bad": False, "good": True}


async def test_a_missing_tool_is_one_line() -> None:
    """It is not tried again, and the line says how to fix it."""

    def missing(_number: int) -> str:
        raise RequirementError("tcpdump is not installed")

    fake = _Fake("tcpdump", missing)
    _, logs = await _live(fake)
    (entry,) = logs[:-1]
    assert (entry["event"], entry["error"]) == ("capture_unavailable", "tcpdump is not installed")
    assert entry["hint"] == "fix that, or take tcpdump out of watcher.captures"
    assert fake.runs == 1


async def test_nothing_configured_is_nothing_to_do() -> None:
    """The default: no capture, no action, no task that waits."""
    keeper = Captures(
        configured(config(), Path("/nonexistent")), Children(), structlog.get_logger()
    )
    await asyncio.wait_for(keeper.run(), 1)
    assert keeper.actions == ()


async def test_every_name_of_the_configuration_is_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each makes the capture of its name; on a host without the tools the agent goes on."""
    monkeypatch.setitem(launch.ENVIRONMENT, "PATH", "/nonexistent")
    monkeypatch.setattr(probes, "wait_for_cifs", lambda: asyncio.sleep(0))
    made = configured(config(captures=tuple(CAPTURES)), tmp_path / "captures")
    assert tuple(capture.name for capture in made) == tuple(CAPTURES)
    keeper = Captures(made, Children(), structlog.get_logger())
    assert [(a.name, a.file) for a in keeper.actions] == [
        ("tcpdump", "tcpdump.pcap"),
        ("trace-cmd", "trace-cmd.log"),
    ]
    with capture_logs() as logs:
        await asyncio.wait_for(keeper.run(), 5)
    assert sorted(entry["error"] for entry in logs) == [
        "tcpdump is not installed",
        "trace-cmd is not installed",
    ]
