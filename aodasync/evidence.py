# SPDX-License-Identifier: MIT
"""What passes from detection to collection, and where collection gets its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aodasync.events import EventArray
from aodasync.operations import OperationArray
from aodasync.tcp import TcpSocket

__all__ = ["Connection", "EvidenceSource", "Finding", "Sample", "Stall", "Trigger"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A server connection (TCP_Server_Info): its conn_id, and the name and address of the peer."""

    connection_id: int
    server: str
    address: str
    port: int


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


@dataclass(frozen=True, slots=True)
class Finding:
    """An anomaly as a detector states it: which, where, and the figures it rests on.

    ``commands`` and ``codes`` (NTSTATUS or errno names) are sorted by count,
    most first. ``count`` is what counted in the window up to the decision,
    ``threshold_ms`` the smallest threshold crossed (0 where there is none).
    Times are CLOCK_MONOTONIC; ``crossed_ns`` is that of the event that made it an anomaly.
    ``figures`` are those of one type of anomaly alone, by name; ``stalls`` count with
    the requests that hang.
    """

    anomaly: str
    type: str
    server: str
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
    figures: Mapping[str, float] = field(default_factory=dict)
    stalls: tuple[Stall, ...] = ()


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
    """An order for one bundle. ``finding`` is None for a snapshot that somebody asked for.

    ``samples`` are of the surroundings, oldest first, the last one taken at the
    decision; none in a replay. ``at_end`` marks the second bundle of an episode that lasted.
    """

    anomaly: str
    finding: Finding | None
    actions: tuple[str, ...]
    decided_monotonic_ns: int
    decided_realtime_ns: int
    episode: int
    samples: tuple[Sample, ...] = ()
    at_end: bool = False


class EvidenceSource(Protocol):
    """The running pipeline as the collector sees it. Every call is cheap and never blocks."""

    @property
    def live(self) -> bool:
        """Whether this host is the one observed (False in a replay)."""

    def events(self, since: int = 0) -> EventArray:
        """A copy of the flight recorder, oldest first, without the first ``since`` rows ever."""

    def recorded(self) -> int:
        """Rows ever recorded, those that gave way included."""

    def in_flight(self) -> EventArray:
        """Requests in flight now, oldest first."""

    def operations(self) -> OperationArray:
        """Operations inside the client now, oldest first."""

    def losses(self) -> Mapping[str, int]:
        """Every loss counter by name."""

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far, by connection id."""

    def shares(self) -> Mapping[tuple[int, int], str]:
        """Shares seen so far, ``//server/share``, by session id and tree id."""

    def facts(self) -> Mapping[str, Any]:
        """For the manifest: agent, kernel, cifs module srcversion, probe in use."""
