# SPDX-License-Identifier: MIT
"""Tables of the last seconds: the figures are those of a naive count over the same rows."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.events import EventArray
from aodasync.live.window import VIEWS, Window
from tests.builders import MS, SECOND, in_flight, request, requests

_STATE: dict[str, Any] = {
    "now_ns": 20 * SECOND,
    "connections": [
        {"connection_id": 1, "server": "nas1", "address": "192.0.2.1", "port": 445},
        {"connection_id": 2, "server": "nas1", "address": "192.0.2.2", "port": 445},
        {"connection_id": 3, "server": "", "address": "192.0.2.3", "port": 445},
    ],
    "shares": [{"session_id": "0x7", "tree_id": 5, "share": "//nas1/data"}],
    "sockets": [{"address": "192.0.2.1", "port": 445, "rtt_ms": 0.4, "retransmits": 3}],
    "usual": [{"server": "nas1", "command": "SMB2_READ", "ms": 9.0}],
}

_ROW = st.tuples(
    st.integers(1, 4),  # connection
    st.integers(0, 18),  # command
    st.integers(0, 3000),  # latency in ms
    st.sampled_from([b"a", b"b"]),
    st.integers(1, 3),  # tgid
    st.booleans(),  # failed
)


def _rows(drawn: list[tuple[Any, ...]]) -> EventArray:
    return requests(
        *(
            request(
                command,
                released_ns=15 * SECOND,
                latency_ns=ms * MS + 1,
                connection_id=connection,
                comm=comm,
                tgid=tgid,
                status=0xC0000022 if failed else 0,
            )
            for connection, command, ms, comm, tgid, failed in drawn
        )
    )


@settings(max_examples=50)
@given(st.lists(_ROW, min_size=1, max_size=60), st.sampled_from(sorted(VIEWS)))
def test_a_table_agrees_with_counting_row_by_row(drawn: list[tuple[Any, ...]], view: str) -> None:
    """Requests, errors and summed time of every group are those of a plain loop."""
    window = Window(10)
    window.update(_STATE, in_flight(issued_ns=19 * SECOND)[:0])
    rows = _rows(drawn)
    window.add(rows)
    expected: dict[Any, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    servers = {1: "nas1", 2: "nas1", 3: "192.0.2.3", 4: "connection 4"}
    for row in rows:
        key = {
            "server": (servers[int(row["connection_id"])],),
            "share": (servers[int(row["connection_id"])], "-"),
            "command": (servers[int(row["connection_id"])], int(row["command"])),
            "process": (row["comm"].decode(), int(row["tgid"])),
        }[view]
        found = expected[key]
        found[0] += 1
        found[1] += int(row["status"] != 0)
        found[2] += (int(row["released_ns"]) - int(row["issued_ns"])) / MS
    lines = window.table(view)
    assert len(lines) == len(expected)
    assert sum(line.requests for line in lines) == len(rows)
    by_total = sorted((n, e, round(s, 3)) for n, e, s in expected.values())
    assert sorted((x.requests, x.errors, round(x.sum_ms, 3)) for x in lines) == by_total


def test_a_server_of_several_connections_is_one_line_with_its_figures() -> None:
    """Waiting requests, the oldest, TCP's round trip, and what is usual."""
    window = Window(10)
    window.add(requests(*(request(released_ns=19 * SECOND, connection_id=c) for c in (1, 2))))
    window.update(_STATE, in_flight(issued_ns=11 * SECOND, connection_id=2))
    (line,) = window.table("server")
    assert line.key == ("nas1",)
    assert (line.requests, line.waiting, line.oldest_ms) == (2, 1, 9000.0)
    assert (line.rtt_ms, line.usual_ms) == (0.4, 9.0)


def test_credits_of_a_server_are_those_of_its_poorest_connection() -> None:
    """One that has none cannot send, whatever the others have; an ended one does not count."""
    window = Window(10)
    window.add(request(released_ns=19 * SECOND, connection_id=1))
    granted = {1: 512, 2: 1, 3: None}
    connections = [
        {**connection, "credits": granted[connection["connection_id"]]}
        for connection in _STATE["connections"]
    ]
    window.update({**_STATE, "connections": connections}, in_flight(issued_ns=1)[:0])
    found = {line.key[0]: line.credits for line in window.table("server")}
    assert found["nas1"] == 1
    assert all(line.credits is None for line in window.table("command"))


def test_a_share_is_named_by_session_and_tree() -> None:
    """Without its server, which has a column of its own."""
    window = Window(10)
    window.update(_STATE, in_flight(issued_ns=1)[:0])
    window.add(request(released_ns=19 * SECOND, session_id=7, tree_id=5))
    (line,) = window.table("share")
    assert line.key == ("nas1", "data")


def test_rows_older_than_the_window_are_not_counted() -> None:
    """Nor kept, once the newest state is later than them by the window's length."""
    window = Window(10)
    window.add(request(released_ns=5 * SECOND))
    window.add(request(released_ns=19 * SECOND))
    window.update(_STATE, in_flight(issued_ns=1)[:0])
    assert len(window.rows()) == 1


def test_memory_is_bounded_without_a_state() -> None:
    """A stream of rows alone does not grow without end."""
    window = Window(10)
    rows = np.repeat(request(released_ns=SECOND), 100_000)
    for _ in range(8):
        window.add(rows)
    assert len(window.rows()) <= 500_000


def test_the_first_lines_are_those_of_the_whole_table() -> None:
    """Whatever it is sorted by, and however many lines are equal in that."""
    drawn = np.random.default_rng(5)
    rows = np.repeat(request(released_ns=19 * SECOND), 3000)
    rows["tgid"] = drawn.integers(1, 900, len(rows))
    rows["comm"] = drawn.choice([b"a", b"b", b"\xff"], len(rows))
    rows["issued_ns"] -= drawn.integers(0, 5, len(rows)).astype(np.uint64) * np.uint64(MS)
    waiting = np.repeat(in_flight(issued_ns=11 * SECOND), 50)
    waiting["tgid"] = drawn.integers(1, 900, len(waiting))
    window = Window(10)
    window.add(rows)
    window.update(_STATE, waiting)
    for by in ("oldest_ms", "sum_ms", "p99_ms", "per_sec", "errors"):
        every = window.table("process", by=by)
        assert window.table("process", by=by, most=20) == every[:20]
        values = [getattr(line, by) or 0 for line in every]
        assert values == sorted(values, reverse=True)
    wanted = window.table("process", wanted=lambda key: key[1] < 10)
    assert {line.key[1] for line in wanted} == set(range(1, 10))


def test_percentiles_are_numpys_however_long_a_request_took() -> None:
    """Times are sorted by 16 bits after 16: years take more of them than milliseconds."""
    year_ns = 365 * 86_400 * SECOND
    took_ns = [3 * year_ns, 2 * year_ns, 7, 5 * MS, year_ns, 9 * MS + 1]
    rows = requests(
        *(
            request(released_ns=4 * year_ns, latency_ns=each, tgid=n % 2)
            for n, each in enumerate(took_ns)
        )
    )
    window = Window(10)
    window.add(rows)
    window.update({"now_ns": 4 * year_ns}, rows[:0])
    for line in window.table("process"):
        expected = np.percentile(np.array(took_ns[line.key[1] :: 2]) / MS, (50, 99, 100))
        found = np.array([line.p50_ms, line.p99_ms, line.max_ms], np.float64)
        assert np.allclose(found, expected, rtol=1e-9, atol=0.001)
