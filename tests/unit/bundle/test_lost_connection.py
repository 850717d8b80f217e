# SPDX-License-Identifier: MIT
"""Who waits for a lost connection while its bundle is collected."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from aodasync.bundle import lost_connection
from aodasync.bundle.lost_connection import LostConnection
from aodasync.events import NO_EVENTS, OPERATION, EventArray, OperationArray
from aodasync.evidence.model import ClockPair, Snapshot, Trigger
from tests.builders import SECOND, finding

pytestmark = pytest.mark.anyio


def _inside(*started_ns: int) -> OperationArray:
    operations = np.zeros(len(started_ns), OPERATION)
    operations["started_ns"] = started_ns
    return operations


def _at(sec: int, operations: OperationArray) -> Snapshot:
    return Snapshot(clocks=ClockPair(sec * SECOND, 0), operations=operations)


@dataclass
class _Source:
    """One look after the other."""

    looks: list[Snapshot]
    live: bool = True
    asked: list[tuple[str, ...]] = field(default_factory=list)
    all_seen: asyncio.Event = field(default_factory=asyncio.Event)

    def snapshot(self, *tables: str) -> Snapshot:
        self.asked.append(tables)
        if len(self.asked) == len(self.looks):
            self.all_seen.set()
        return self.looks[min(len(self.asked), len(self.looks)) - 1]

    def events(self, _since: int = 0) -> EventArray:
        return NO_EVENTS

    def recorded(self) -> int:
        return 0


_LOST = Trigger("connection", finding("connection"), (), SECOND, 0, 1)


async def test_the_look_counts_in_which_most_had_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads may be inside when the connection is back, each for a moment."""
    monkeypatch.setattr(lost_connection, "_EVERY_SEC", 0.001)
    stuck = _at(5, _inside(2 * SECOND, 3 * SECOND))
    busy = _at(6, _inside(*(6 * SECOND - 1 for _ in range(9))))
    source = _Source([_at(2, _inside()), stuck, busy])
    lost = LostConnection(_LOST, source)
    watching = asyncio.create_task(lost.watch())
    await source.all_seen.wait()
    watching.cancel()
    found = lost.inside(_at(7, _inside(6 * SECOND)))
    assert found is not None
    assert (found.now_ns, len(found.operations)) == (5 * SECOND, 2)
    assert set(source.asked) == {("operations", "in_flight")}


async def test_nobody_looks_for_another_anomaly_nor_in_a_replay() -> None:
    """There the record tells who waited; a replay has no client."""
    after = _at(7, _inside(6 * SECOND))
    for trigger, live in ((replace(_LOST, finding=finding()), True), (_LOST, False)):
        source = _Source([after], live=live)
        lost = LostConnection(trigger, source)
        await lost.watch()
        assert source.asked == []
        assert (lost.inside(after) is not None) == live
