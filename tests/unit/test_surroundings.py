# SPDX-License-Identifier: MIT
"""Samples of the surroundings: what they hold, and how many are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync import surroundings
from aodasync.errors import BpfError
from aodasync.evidence import Connection, Sample
from aodasync.surroundings import Surroundings, stalled_us
from tests.unit.builders import SECOND


class _Clock:
    now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return 0


def test_pressure_is_read_where_the_kernel_tells_it(tmp_path: Path) -> None:
    """The total of ``some``; a resource that is missing or unreadable is left out."""
    (tmp_path / "cpu").write_text("some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull x\n")
    (tmp_path / "io").write_text("")
    assert stalled_us(tmp_path) == {"cpu": 123456}


def test_history_reaches_ten_minutes_back_and_ends_now() -> None:
    """Every second of the last half minute, every ten seconds before; never more than 93."""
    clock = _Clock()
    around = Surroundings(dict, clock)
    for second in range(1000):
        clock.now_ns = second * SECOND
        around.keep(around.at_once())
    clock.now_ns = 1000 * SECOND
    times = [sample.monotonic_ns // SECOND for sample in around.now()]
    assert times[-1] == 1000
    assert times[-33:-1] == list(range(968, 1000))
    assert times[0] == 400
    assert times == sorted(set(times))
    assert len(times) <= 93


def test_a_kernel_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample without sockets says why."""

    def refuse(_peers: object) -> list[object]:
        raise PermissionError(1, "inet_diag: EPERM")

    monkeypatch.setattr(surroundings, "tcp_sockets", refuse)
    around = Surroundings(lambda: {1: Connection(1, "nas", "192.0.2.1", 445)}, _Clock())
    sample: Sample = around.at_once()
    assert sample.sockets == ()
    assert "EPERM" in sample.error


def test_connections_that_cannot_be_read_are_no_peers() -> None:
    """A scan that fails costs a sample its sockets and nobody else anything."""

    def unreadable() -> dict[int, Connection]:
        raise BpfError("lookup_batch", 12)

    assert Surroundings(unreadable, _Clock()).peers() == frozenset()
