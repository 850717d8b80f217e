# SPDX-License-Identifier: MIT
"""The names of servers are read seldom, and never stay wrong."""

from __future__ import annotations

from aodasync.evidence.model import Connection, Snapshot
from aodasync.evidence.recorder import FlightRecorder
from aodasync.probes.live_source import LiveEvidence
from aodasync.tasks.pipeline import Servers
from tests.builders import MS, SECOND
from tests.unit.tasks.test_detector import FakeClock


class Table(LiveEvidence):
    """Connections as the kernel side has them; counts how often they are read."""

    def __init__(self) -> None:
        super().__init__(FlightRecorder(1))
        self.names = {1: "nas1"}
        self.reads = 0
        self.fails = False

    def snapshot(self, *tables: str) -> Snapshot:
        assert tables == ("connections",)
        self.reads += 1
        if self.fails:
            return Snapshot(errors={"connections": "bpf: ENOMEM"})
        named = {n: Connection(n, name, "10.0.0.1", 445) for n, name in self.names.items()}
        return Snapshot(connections=named)


def test_a_failover_shows_within_a_second() -> None:
    """The same connection goes to another server, and is called by its name."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    assert servers(1) == "nas1"
    table.names[1] = "nas2"
    clock.now_ns += SECOND
    assert servers(1) == "nas2"


def test_thousands_of_rows_read_the_table_once() -> None:
    """Also when their connection is not known."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    assert {servers(7) for _ in range(2000)} == {"connection 7"}
    assert servers(0) == "unknown"
    assert table.reads == 1


def test_a_new_connection_has_its_name_at_once() -> None:
    """Mounted 60 ms after the last reading."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    assert servers(1) == "nas1"
    table.names[2] = "nas2"
    clock.now_ns += 60 * MS
    assert servers(2) == "nas2"


def test_a_connection_that_stays_unknown_is_looked_for_less_and_less() -> None:
    """Once a second in the end, as the others; and at once again, when it was found."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    for _ in range(1000):
        servers(7)
        clock.now_ns += 10 * MS
    assert table.reads <= 5 + 10
    table.names[7] = "nas7"
    clock.now_ns += SECOND
    assert servers(7) == "nas7"
    table.names[8] = "nas8"
    clock.now_ns += 60 * MS
    assert servers(8) == "nas8"


def test_what_is_gone_from_the_table_is_forgotten() -> None:
    """So that names never need more room than the table."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    assert servers(1) == "nas1"
    table.names = {2: "nas2"}
    clock.now_ns += SECOND
    assert servers(2) == "nas2"
    assert set(servers._names) == {2}


def test_a_table_that_cannot_be_read_leaves_the_names_as_they_were() -> None:
    """ENOMEM of one look-up costs nothing."""
    table, clock = Table(), FakeClock()
    servers = Servers(table, clock)
    assert servers(1) == "nas1"
    table.fails = True
    clock.now_ns += SECOND
    assert servers(1) == "nas1"
