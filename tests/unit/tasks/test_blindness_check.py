# SPDX-License-Identifier: MIT
"""A blind agent says so, and says when it sees again."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.evidence.model import Connection
from aodasync.process.children import ChildEnd, Children
from aodasync.process.output import Sink
from aodasync.tasks.blindness_check import BlindnessCheck

pytestmark = pytest.mark.anyio


class StatsChildren:
    """Children whose only child prints the client's totals."""

    def __init__(self) -> None:
        self.sent = 0
        self.error = ""

    async def run(self, _argv: object, sink: Sink, **_: object) -> ChildEnd:
        sink.write(b"  SMB3 CMD\tNumber\tTotal Time\n  16\t\t%d\t5\t\t0\t1\n" % self.sent)
        return ChildEnd(0, False, False, False, self.error)  # noqa: FBT003  # a record


def _blindness(children: StatsChildren, recorded: list[int | None]) -> BlindnessCheck:
    log: Any = structlog.get_logger()
    return BlindnessCheck(cast("Children", children), lambda: recorded[0], log, arrival_sec=0)


async def test_blindness_is_told_at_each_look_and_its_end_once() -> None:
    """452 requests sent and none recorded is agent_blind; sight that returns is told, too."""
    children, recorded = StatsChildren(), cast("list[int | None]", [0])
    sight = _blindness(children, recorded)
    with capture_logs() as logs:
        for children.sent, recorded[0] in ((0, 0), (452, 0), (904, 0), (1404, 500), (1800, 1000)):
            await sight.look()
    assert [(line["event"], line["client_sent"], line["recorded"]) for line in logs] == [
        ("agent_blind", 452, 0),
        ("agent_blind", 452, 0),
        ("agent_sees_again", 500, 500),
    ]
    assert not sight.blind
    assert sight.compared == {"client_sent": 396, "recorded": 500}


async def test_without_a_probe_or_totals_nothing_is_concluded() -> None:
    """An agent that waits for the client is not blind, nor one whose totals cannot be read."""
    children, recorded = StatsChildren(), cast("list[int | None]", [None])
    sight = _blindness(children, recorded)
    await sight.look()
    recorded[0] = 0
    await sight.look()
    children.sent, children.error = 1000, "timed out after 5 s"
    await sight.look()
    assert not sight.blind
    assert sight.compared == {}


async def test_what_is_on_its_way_is_waited_for() -> None:
    """Rows that reach the recorder after the client counted them are recorded."""
    children = StatsChildren()
    counts = iter([0, 0, 0, 452])  # before and after each of two looks
    log: Any = structlog.get_logger()
    sight = BlindnessCheck(cast("Children", children), lambda: next(counts), log, arrival_sec=0)
    await sight.look()
    children.sent = 452
    with capture_logs() as logs:
        await sight.look()
    assert not logs


async def test_the_first_comparison_comes_soon_and_then_one_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten seconds between looks until two were had, which wait for the probe; then sixty."""
    children, recorded = StatsChildren(), cast("list[int | None]", [None])
    sight = _blindness(children, recorded)
    now_sec = 0.0
    compared_sec: list[float] = []

    async def sleep(delay_sec: float) -> None:
        nonlocal now_sec
        if not delay_sec:  # for what is on its way
            compared_sec.append(now_sec)
        now_sec += delay_sec
        if now_sec == 20:
            recorded[0] = 0
        if now_sec > 160:
            raise TimeoutError

    monkeypatch.setattr("aodasync.tasks.blindness_check.asyncio.sleep", sleep)
    with pytest.raises(TimeoutError):
        await sight.run()
    assert compared_sec == [20, 30, 90, 150]


async def test_a_server_mounted_by_smb1_is_logged_once() -> None:
    """Nothing is recorded of it, which is said, and is no blindness."""
    children = StatsChildren()
    connections: dict[int, Connection] = {}
    sight = BlindnessCheck(
        cast("Children", children),
        lambda: 0,
        structlog.get_logger(),
        connections=lambda: connections,
        arrival_sec=0,
    )
    with capture_logs() as logs:
        await sight.look()
        connections[1] = Connection(1, "nas", "192.0.2.1", 445)
        connections[2] = Connection(2, "old", "192.0.2.2", 445, is_smb1=True)
        await sight.look()
        connections[3] = Connection(3, "old", "192.0.2.2", 445, is_smb1=True)
        await sight.look()
    assert [(line["event"], line.get("server")) for line in logs] == [("smb1_not_watched", "old")]
