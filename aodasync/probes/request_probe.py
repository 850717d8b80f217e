# SPDX-License-Identifier: MIT
"""The probe: everything that runs in the kernel for the agent, behind the Probe protocol."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from aodasync.errors import BpfError
from aodasync.events import EVENT, EventArray
from aodasync.evidence import Connection
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.probes.connections import ConnectionTable
from aodasync.probes.inflight import InFlightTable, MessageTable
from aodasync.probes.interface import ProbePlan
from aodasync.probes.interim import InterimResponses
from aodasync.probes.loader import MADE_UP_FOR, Loaded
from aodasync.probes.maps import lookup, update
from aodasync.probes.operations import OperationTable
from aodasync.probes.ring import RingReader
from aodasync.probes.shared import (
    EMERGENCY_COMMANDS,
    LOSS_COUNTERS,
    Counter,
    MapNumber,
    StateIndex,
)
from aodasync.probes.shares import ShareTable

__all__ = ["RequestProbe", "possible_cpus"]


def possible_cpus(path: Path = Path("/sys/devices/system/cpu/possible")) -> int:
    """CPUs that a per-CPU map has values for: the kernel writes ranges, ``0-3,8``."""
    ranges = [part.split("-") for part in path.read_text().strip().split(",")]
    return sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)


class RequestProbe:
    """Implements :class:`aodasync.probes.interface.Probe` over loaded programs."""

    def __init__(
        self, loaded: Loaded, plan: ProbePlan, ring_bytes: int, method: str = "fentry"
    ) -> None:
        maps = loaded.maps
        self._loaded = loaded
        self._plan = plan
        self._ring_fd = maps[MapNumber.RING]
        self._ring = RingReader.of_map(self._ring_fd, ring_bytes)
        self._by_message = method == "tracepoint"
        in_flight_fd = maps[MapNumber.IN_FLIGHT]
        self._in_flight: InFlightTable | MessageTable = (
            MessageTable(in_flight_fd, lambda: self._state(StateIndex.RECONNECTED_NS))
            if self._by_message
            else InFlightTable(maps[MapNumber.MIDS], in_flight_fd, loaded.on_demand("check"))
        )
        self._interim = InterimResponses(maps[MapNumber.INTERIM])
        self._operations = OperationTable(maps[MapNumber.OPERATIONS])
        self._follows_operations = not any(
            each.error for each in plan.attachments if each.role == "operations"
        )
        self._connections = ConnectionTable(maps[MapNumber.CONNECTIONS])
        self._shares = ShareTable(maps[MapNumber.TREES], loaded.on_demand("walk"))
        self._cpus = possible_cpus()
        self._closed = False
        self._last_losses: Mapping[str, int] = {}

    @property
    def plan(self) -> ProbePlan:
        """The plan in use."""
        return self._plan

    def fileno(self) -> int:
        """Descriptor of the ring: readable when woken, and while events wait."""
        return self._ring_fd

    def read(self, max_events: int) -> EventArray:
        """Up to ``max_events`` rows, oldest first; shape (N,), dtype EVENT, a copy."""
        return self._ring.read(max_events)

    def in_flight(self) -> EventArray:
        """Rows of the requests in flight, oldest first. Raises BpfError."""
        if self._closed:
            return np.empty(0, EVENT)
        rows = self._in_flight.read(time.monotonic_ns())
        self._interim.mark(rows)
        return rows

    def operations(self) -> OperationArray:
        """Operations inside the client, oldest first; none where their ends are not seen."""
        if self._closed or not self._follows_operations:
            return NO_OPERATIONS
        return self._operations.read(time.monotonic_ns())

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far, by connection id. Raises BpfError."""
        return self._connections.known() if self._closed else self._connections.read()

    def shares(self) -> Mapping[tuple[int, int], str]:
        """Shares seen so far, ``//server/share``, by session id and tree id. Raises BpfError."""
        if self._closed:
            return self._shares.known()
        self._connections.read()
        return self._shares.read(self._connections.servers())

    def losses(self) -> Mapping[str, int]:
        """What was missed, by name: counters of the kernel side, and skipped programs."""
        if self._closed:
            return self._last_losses
        losses = {counter.name.lower(): self._counter(counter) for counter in LOSS_COUNTERS}
        losses["foreign"] = self._ring.foreign
        return losses | self._skipped(made_up_for=False)

    def figures(self) -> Mapping[str, int]:
        """What is worth knowing and no loss: records produced, wake-ups, requests rebuilt."""
        others = [counter for counter in Counter if counter not in LOSS_COUNTERS]
        figures = {counter.name.lower(): self._counter(counter) for counter in others}
        skipped = {} if self._closed else self._skipped(made_up_for=True)
        return figures | skipped | {"produced": self._ring.produced}

    def _skipped(self, *, made_up_for: bool) -> dict[str, int]:
        """Runs that the kernel skipped, of the programs which others make up for, or not."""
        roles = frozenset[str]() if self._by_message else MADE_UP_FOR
        return {
            f"skipped_{role}": count
            for role, count in self._loaded.skipped().items()
            if (role in roles) == made_up_for
        }

    def set_emergency_ns(
        self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
    ) -> None:
        """Latency that is urgent at once, by command code; 0: never.

        A request that got an interim response is urgent only if its command is in
        ``interim_too``. Raises BpfError.
        """
        emergency = self._loaded.maps[MapNumber.EMERGENCY]
        for command in range(EMERGENCY_COMMANDS):
            threshold = thresholds_ns[command] if command < len(thresholds_ns) else 0
            row = struct.pack("QQ", threshold, command in interim_too)
            update(emergency, struct.pack("I", command), row)

    def close(self) -> None:
        """Detach and unmap. Safe to call twice; what was lost and who was seen stays known."""
        if self._closed:
            return
        try:
            self._last_losses = self.losses()
        finally:
            self._closed = True
            self._ring.close()
            self._in_flight.close()
            self._operations.close()
            self._loaded.close()

    def _state(self, index: StateIndex) -> int:
        value = lookup(self._loaded.maps[MapNumber.STATE], struct.pack("I", index), 8)
        return int.from_bytes(value or b"", sys.byteorder)

    def _counter(self, counter: Counter) -> int:
        key = struct.pack("I", counter)
        values = lookup(self._loaded.maps[MapNumber.COUNTERS], key, 8 * self._cpus)
        if values is None:
            raise BpfError(f"no counter {counter.name}", 0)
        return sum(struct.unpack(f"{self._cpus}Q", values))
