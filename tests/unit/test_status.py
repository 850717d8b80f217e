# SPDX-License-Identifier: MIT
"""The figures of ``aodasync status``."""

from __future__ import annotations

import numpy as np

from aodasync.events import EVENT
from aodasync.status import in_flight_summary, render, server_summary
from tests.builders import MS, SECOND, request, requests


def test_server_summary_covers_the_last_minute_per_server() -> None:
    """Older requests do not count; connections of one server are summed."""
    rows = requests(
        request(released_ns=100 * SECOND, latency_ns=900 * MS),
        request(released_ns=199 * SECOND, latency_ns=2 * MS),
        request(released_ns=199 * SECOND, latency_ns=4 * MS, connection_id=2, status=0xC0000022),
        request(released_ns=199 * SECOND, latency_ns=7 * MS, connection_id=3, outcome=1),
    )
    names = {1: "nas", 2: "nas", 3: "azure"}
    summary = server_summary(rows, names.__getitem__, 200 * SECOND)
    assert summary["nas"] == {
        "connections": 2,
        "requests": 2,
        "per_sec": 0.03,
        "median_ms": 3.0,
        "p99_ms": 3.98,
        "max_ms": 4.0,
        "errors": 1,
        "unanswered": 0,
    }
    assert summary["azure"]["unanswered"] == 1


def test_each_connection_is_looked_up_once() -> None:
    """However many requests there are: a look-up may have to ask the kernel."""
    rows = requests(*(request(released_ns=SECOND, connection_id=i % 3) for i in range(100)))
    asked = []

    def server_of(connection_id: int) -> str:
        asked.append(connection_id)
        return f"connection {connection_id}"

    assert sum(s["requests"] for s in server_summary(rows, server_of, SECOND).values()) == 100
    assert sorted(asked) == [0, 1, 2]


def test_in_flight_summary_names_the_oldest() -> None:
    """The oldest request comes with its command, age and owner."""
    rows = requests(
        request("SMB2_WRITE", released_ns=10 * SECOND, latency_ns=3 * SECOND, pid=7),
        request("SMB2_ECHO", released_ns=10 * SECOND, latency_ns=1 * SECOND),
    )
    summary = in_flight_summary(rows, 10 * SECOND)
    assert summary["count"] == 2
    assert summary["oldest"]["command"] == "SMB2_WRITE"
    assert summary["oldest"]["age_ms"] == 3000.0
    assert in_flight_summary(np.zeros(0, EVENT), 1) == {"count": 0, "oldest": None}


def test_render_shows_nested_figures_indented() -> None:
    """Mappings become indented blocks, lists are joined, nothing is 'none'."""
    text = render({"probe": "fentry", "notes": [], "queues": {"batches": 0}, "losses": {}})
    assert text == "probe: fentry\nnotes: none\nqueues:\n  batches: 0\nlosses: none\n"
