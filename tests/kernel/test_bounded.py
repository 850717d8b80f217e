# SPDX-License-Identifier: MIT
"""No table grows with the number of servers, connections and statuses; what goes is counted."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from aodasync.detection.engine import Engine
from aodasync.detection.usability import Usability
from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.evidence.model import Connection
from aodasync.host.mountinfo import Mount
from aodasync.live.counters import RequestCounters
from aodasync.smb.commands import COMMAND_CODES
from aodasync.status import server_summary
from tests.builders import (
    MS,
    SECOND,
    config,
    connection_anomaly,
    drift_anomaly,
    error_anomaly,
    hang_anomaly,
    latency_anomaly,
    view,
)

_CONNECTIONS = 100_000
_STATUSES = 200_000
_LARGEST = 20_000  # the connections of open episodes

_NOT_OURS = (type, ModuleType, FunctionType, BuiltinFunctionType)
_CONTAINERS = (dict, list, set, frozenset, tuple, deque)


def _containers(*roots: object) -> Iterator[Any]:
    """Everything that holds others and can be reached from the roots, but by way of classes."""
    seen: set[int] = set()
    waiting: list[Any] = [*roots]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _NOT_OURS):
            continue
        seen.add(id(each))
        if isinstance(each, _CONTAINERS):
            yield each
        waiting.extend(gc.get_referents(each))


def _largest(*roots: object) -> int:
    return max(len(each) for each in _containers(*roots))


def _all_entries(*roots: object) -> int:
    return sum(len(each) for each in _containers(*roots))


def _row(command: str, at_ns: int, ids: Any, **fields: Any) -> EventArray:
    rows = np.zeros(len(ids), EVENT)
    rows["command"] = COMMAND_CODES[command]
    rows["connection_id"], rows["message_id"] = ids, ids
    rows["issued_ns"], rows["received_ns"], rows["released_ns"] = at_ns - MS, at_ns, at_ns
    for name, value in fields.items():
        rows[name] = value
    return rows


def _life(ids: Any, at_ns: int) -> EventArray:
    """Each is set up; one in ten reads slowly, fails in ways of its own, and is lost for ever."""
    lost = ids[::10]
    kinds = (
        _row("SMB2_NEGOTIATE", at_ns, ids),
        _row("SMB2_SESSION_SETUP", at_ns + MS, ids, session_id=ids),
        _row("SMB2_TREE_CONNECT", at_ns + 2 * MS, ids, session_id=ids),
        _row("SMB2_READ", at_ns + 2 * SECOND, lost, session_id=lost, issued_ns=at_ns),
        _row(
            "SMB2_WRITE", at_ns + 2 * SECOND, lost, session_id=lost, status=0xC0000000 + lost % 999
        ),
        _row("SMB2_READ", at_ns + 2 * SECOND, lost, session_id=lost, outcome=Outcome.RETRY),
        _row("SMB2_NEGOTIATE", at_ns + 2 * SECOND, lost, kind=Kind.RECONNECT),
    )
    return np.concatenate(kinds)


def _engine() -> Engine:
    anomalies = (
        latency_anomaly(acceptable_count=1),
        error_anomaly(codes=(), acceptable_count=1),
        hang_anomaly(),
        connection_anomaly(),
        drift_anomaly(),
    )
    return Engine(config(*anomalies), lambda number: f"server{number}")


@pytest.mark.parametrize("at_once", [1000, 5000])
def test_a_hundred_thousand_connections_come_and_go(at_once: int) -> None:
    """Each with a server of its own; hundreds or thousands at once, one in ten in trouble for ever.

    After twice as many there is no more of anything than before.
    """
    engine, counters = _engine(), RequestCounters(lambda number: f"server{number}")
    usability = Usability(5000.0, lambda _: np.zeros(0, EVENT))
    mounts = (Mount("0:1", "/mnt", "cifs", "//server1/share"),)
    roots = (engine, usability, counters)
    sizes = []
    for first in range(1, _CONNECTIONS, at_once):
        now_ns = (100 + first // at_once * 3) * SECOND
        ids = np.arange(first, first + at_once)
        rows = _life(ids, now_ns - 2 * SECOND)
        engine.process(rows, now_ns)
        counters.add(rows)
        usability.observe(rows)
        hung = _row("SMB2_WRITE", now_ns - 10 * SECOND, ids[:200])
        hung["received_ns"] = hung["released_ns"] = 0
        engine.look(view(now_ns, hung))
        known = {int(n): Connection(int(n), f"server{n}", "", 445) for n in ids[-4096:]}
        usability.look(hung, known, mounts, now_ns)
        engine.tick(now_ns)
        if first % (_CONNECTIONS // 10) == 1:
            sizes.append(_all_entries(*roots))
    assert _largest(*roots) <= _LARGEST
    half = len(sizes) // 2
    assert max(sizes[half:]) <= 1.1 * max(sizes[:half])
    figures = engine.figures()
    assert figures["connections"] <= 4096
    assert figures["connections_forgotten"] >= _CONNECTIONS - 4096
    assert usability.forgotten > 0
    assert {each.server for each in counters.totals().durations} >= {"other"}


def _lives(first: int, count: int) -> EventArray:
    """What connections that come and go do, in ten rows each, with an error among them."""
    rows = np.zeros((count, 10), EVENT)
    number = first + np.arange(count)[:, None]
    rows["connection_id"] = rows["session_id"] = number
    rows["released_ns"] = 10**12 + number * 1000 + np.arange(10)
    rows["issued_ns"] = rows["released_ns"] - 500
    rows["command"] = [0, 1, 1, 3, 5, 8, 8, 6, 4, 2]
    rows["status"][:, 4] = 0xC0000022
    rows["outcome"][::30, 9] = Outcome.RETRY
    return rows.reshape(-1)


def test_the_book_of_connections_forgets_a_hundred_thousand() -> None:
    """Every table stays bounded, what was forgotten is counted, and a row costs microseconds."""
    engine = Engine(
        config(latency_anomaly(), error_anomaly(), hang_anomaly(), connection_anomaly()),
        lambda number: f"server{number}",
    )
    begun = time.process_time()
    for first in range(1, _CONNECTIONS + 1, 1000):
        rows = _lives(first, 1000)
        now_ns = int(rows["released_ns"][-1])
        engine.process(rows, now_ns)
        engine.look(view(now_ns))
    spent_sec = time.process_time() - begun
    figures = engine.figures()
    assert figures["connections"] == 4096
    assert figures["connections_forgotten"] == _CONNECTIONS - 4096
    assert figures["open_episodes"] <= 1024
    book = engine._connections
    assert len(book._known.channels) <= 4096
    assert len(book.in_trouble()) <= 4096
    assert engine.take_failures() == []
    assert spent_sec < 60


def test_two_hundred_thousand_statuses_fill_no_table() -> None:
    """A server that invents them: what is counted apart is bounded, the rest is one."""
    engine, counters = _engine(), RequestCounters(lambda _: "nas")
    roots = (engine, counters)
    at_once = 2000
    for first in range(0, _STATUSES, at_once):
        now_ns = (100 + first // at_once) * SECOND
        statuses = np.arange(first, first + at_once).astype(np.uint32) + np.uint32(0xC0000001)
        ids = np.full(at_once, 7)
        rows = _row("SMB2_CREATE", now_ns, ids, status=statuses)
        rows["command"] = first // at_once % 19
        engine.process(rows, now_ns)
        counters.add(rows)
        engine.tick(now_ns)
    assert _largest(*roots) <= 8192
    totals = counters.totals()
    assert len(totals.errors) <= 65
    assert sum(totals.errors.values()) == _STATUSES


def test_status_names_the_busiest_servers() -> None:
    """Of a thousand, 64 by name, and the rest as one: nothing is left out of the sums."""
    busy = np.repeat(np.arange(1, 1001), np.where(np.arange(1000) < 64, 5, 2))
    rows = _row("SMB2_READ", 100 * SECOND, busy)
    summary = server_summary(rows, lambda number: f"server{number}", 101 * SECOND)
    assert len(summary) == 65
    assert {f"server{n}" for n in range(1, 65)} < summary.keys()
    assert summary["other"]["connections"] == 936
    assert sum(each["requests"] for each in summary.values()) == len(rows)
