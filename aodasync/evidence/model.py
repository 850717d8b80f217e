# SPDX-License-Identifier: MIT
"""What passes from detection to collection, and where collection gets its evidence."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from aodasync.events import NO_EVENTS, NO_OPERATIONS, EventArray, OperationArray
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.host.tcp_sockets import TcpSocket

__all__ = [
    "ClockPair",
    "Connection",
    "EvidenceSource",
    "Finding",
    "Sample",
    "Snapshot",
    "Stall",
    "Symptom",
    "Trigger",
]


@dataclass(frozen=True, slots=True)
class ClockPair:
    """CLOCK_MONOTONIC and CLOCK_REALTIME, read one right after the other."""

    monotonic_ns: int
    realtime_ns: int

    @classmethod
    def now(cls) -> ClockPair:
        """The clocks of this host."""
        return cls(time.monotonic_ns(), time.time_ns())


@dataclass(frozen=True, slots=True)
class Connection:
    """A server connection (TCP_Server_Info): its conn_id, and the name and address of the peer.

    Of one that ``is_smb1`` nothing is recorded. ``netns`` is the inode number of its network
    namespace, 0 where that is unknown.
    """

    connection_id: int
    server: str
    address: str
    port: int
    is_smb1: bool = False
    netns: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """A thread whose operation waits (``waits_for`` credits, reconnect) before any request.

    It is inside the client for ``age_ms``, and had no request for ``quiet_ms``;
    ``function`` is the client's that began the operation.
    """

    pid: int
    tgid: int
    comm: str
    function: str
    waits_for: str
    age_ms: float
    quiet_ms: float


class Symptom(StrEnum):
    """How an anomaly shows. Other rooms ask for this and never for an anomaly's type."""

    SLOW = "slow"  # requests that ended, but late
    WAITING = "waiting"  # requests or threads that still wait
    STATUS = "status"  # the NTSTATUS of responses, or an errno in place of one
    CONNECTION = "connection"  # what happens to a connection as such


@dataclass(frozen=True, slots=True)
class Finding:
    """An anomaly as a detector states it: which, where, and the figures it rests on.

    ``connections`` are the ids of those it was seen on, and identify it; ``server`` is the
    name of their server, for people: a DFS failover changes it.
    ``commands`` and ``codes`` (NTSTATUS or errno names) are sorted by count,
    most first. ``count`` is what counted in the window up to the decision,
    ``threshold_ms`` the smallest threshold crossed (0 where there is none).
    Times are CLOCK_MONOTONIC; ``crossed_ns`` is that of the event that made it an anomaly.
    ``figures`` are those of one type of anomaly alone, by name; ``stalls`` count with
    the requests that hang. The bundle of a ``grave`` one is deleted last; an ``idle`` one
    cost no request. ``rule`` names the rule that fired, of an anomaly that has several.
    """

    anomaly: str
    type: str
    symptom: Symptom
    server: str
    connections: tuple[int, ...]
    commands: tuple[str, ...]
    codes: tuple[str, ...]
    count: int
    acceptable_count: int
    threshold_ms: float
    max_latency_ms: float
    first_ns: int
    last_ns: int
    emergency: bool
    crossed_ns: int = 0
    grave: bool = False
    idle: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    stalls: tuple[Stall, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The surroundings at one moment (CLOCK_MONOTONIC).

    ``stalled_us`` is the time since the boot that some task waited for cpu, io
    and memory; ``error`` says why there are no sockets.
    """

    monotonic_ns: int
    sockets: tuple[TcpSocket, ...]
    stalled_us: Mapping[str, int]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Trigger:
    """An order for one bundle. ``finding`` is None for a snapshot on request.

    ``samples`` are of the surroundings, oldest first, the last one taken at the
    decision; none in a replay. ``at_end`` marks the second bundle of an episode that lasted.
    ``in_flight`` are the requests in flight at the decision, in a replay: it cannot ask later.
    """

    anomaly: str
    finding: Finding | None
    actions: tuple[str, ...]
    decided_monotonic_ns: int
    decided_realtime_ns: int
    episode: int
    samples: tuple[Sample, ...] = ()
    at_end: bool = False
    in_flight: EventArray = field(default_factory=lambda: NO_EVENTS, compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tables of the kernel side, and what is counted of it, at one moment.

    ``clocks`` were read after the tables, so no age is negative. A table that could not
    be read is empty, and ``errors`` says why, by the table's name; so is one that was
    not asked for. A new table is one more field.
    """

    clocks: ClockPair = field(default_factory=ClockPair.now)
    in_flight: EventArray = field(default_factory=lambda: NO_EVENTS)
    """Requests in flight, oldest first."""
    operations: OperationArray = field(default_factory=lambda: NO_OPERATIONS)
    """Operations inside the client, oldest first."""
    connections: Mapping[int, Connection] = field(default_factory=dict)
    """Connections seen so far, by connection id."""
    credits: Mapping[int, int] = field(default_factory=dict)
    """Requests that a connection may send now (MS-SMB2 3.2.4.1.2), by its id."""
    shares: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Shares seen so far, ``//server/share``, by session id and tree id."""
    files: FileBook = NO_FILES
    """Files of requests, those in flight among them."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """Every loss counter."""
    figures: Mapping[str, int] = field(default_factory=dict)
    """What else is counted: records, wake-ups, requests rebuilt."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the manifest: agent, kernel, cifs module srcversion, probe in use."""
    errors: Mapping[str, str] = field(default_factory=dict)


class EvidenceSource(Protocol):
    """The running pipeline as the collector sees it."""

    @property
    def live(self) -> bool:
        """Whether this host is the one observed (False in a replay)."""

    def snapshot(self, *tables: str) -> Snapshot:
        """These tables as they are now, all of them if none is named. From any thread."""

    def events(self, since: int = 0) -> EventArray:
        """A copy of the flight recorder, oldest first, without the first ``since`` rows ever."""

    def recorded(self) -> int:
        """Rows ever recorded, overwritten ones included."""
