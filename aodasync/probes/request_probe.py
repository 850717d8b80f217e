# SPDX-License-Identifier: MIT
"""The probe: everything that runs in the kernel for the agent, behind the Probe protocol."""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.errors import BpfError
from aodasync.events import (
    EVENT,
    FILE_ID,
    NO_EVENTS,
    NO_OPERATIONS,
    OPAQUE,
    EventArray,
    FileIdArray,
    OperationArray,
)
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.evidence.model import Connection
from aodasync.evidence.recorder import SPARED_ROWS
from aodasync.probes.client_lists import ClientLists
from aodasync.probes.connection_table import ConnectionTable
from aodasync.probes.counter_table import CounterTable
from aodasync.probes.in_flight_table import InFlightTable, MessageTable
from aodasync.probes.interface import ProbePlan
from aodasync.probes.interim import InterimResponses
from aodasync.probes.kernel_text import KernelText
from aodasync.probes.maps import lookup, update
from aodasync.probes.name_ring import NameRing
from aodasync.probes.operation_table import OperationTable
from aodasync.probes.program_loader import MADE_UP_FOR, Loaded
from aodasync.probes.records import split
from aodasync.probes.ring import RingReader, wakeups_of_map
from aodasync.probes.share_table import ShareTable
from aodasync.probes.shared import (
    EMERGENCY_COMMANDS,
    LOSS_COUNTERS,
    TABLE_COUNTERS,
    Counter,
    MapNumber,
    StateIndex,
)

__all__ = ["RequestProbe"]

_WORTH_A_LOOK: Final = 256  # rows: a look takes 50 us
_SKIPS_FRESH_NS: Final = 5_000_000_000  # a system call for each program
_LOSSES: Final = tuple((counter.name.lower(), counter) for counter in LOSS_COUNTERS)
_FIGURES: Final = tuple(
    (counter.name.lower(), counter)
    for counter in Counter
    if counter not in {*LOSS_COUNTERS, *TABLE_COUNTERS}
)


class RequestProbe:
    """Implements :class:`aodasync.probes.interface.Probe` over loaded programs.

    Tables are read by the event loop and by worker threads: one lock is held for what
    takes a millisecond at most, another one for the walk over all shares.
    """

    def __init__(
        self,
        loaded: Loaded,
        plan: ProbePlan,
        ring_bytes: int,
        method: str = "fentry",
        *,
        lists: ClientLists | None = None,
        files: FileBook = NO_FILES,
    ) -> None:
        maps = loaded.maps
        self._loaded = loaded
        self._plan = plan
        self._ring = RingReader.of_map(maps[MapNumber.RING], ring_bytes)
        self._wakeups = wakeups_of_map(maps[MapNumber.RING])
        self._names = NameRing(maps[MapNumber.NAMES])
        self._files = files
        # Room whose first rows, opaque, are not in ``_files`` yet, and the ids of their files.
        self._ended: deque[tuple[npt.NDArray[np.void], npt.NDArray[np.void]]] = deque()
        self._ended_rows = 0
        self._joining = False  # the rows that ended are being copied
        self._by_message = method == "tracepoint"
        in_flight_fd = maps[MapNumber.IN_FLIGHT]
        self._in_flight: InFlightTable | MessageTable = (
            MessageTable(in_flight_fd, lambda: self._state(StateIndex.RECONNECTED_NS))
            if self._by_message
            else InFlightTable(in_flight_fd, loaded.on_demand("check"))
        )
        self._counters = CounterTable(maps[MapNumber.COUNTERS])
        self._interim = InterimResponses(
            maps[MapNumber.INTERIM], lambda: self._counters[Counter.INTERIMS_NOTED]
        )
        text = KernelText(loaded.on_demand("word"))
        self._operations = OperationTable(maps[MapNumber.OPERATIONS], text.at)
        self._follows_operations = not any(
            each.error for each in plan.attachments if each.role == "operations"
        )
        self._connections = ConnectionTable(
            maps[MapNumber.CONNECTIONS], lambda: self._counters[Counter.CONNECTIONS_NOTED]
        )
        self._lists = lists
        self._shares = ShareTable(maps[MapNumber.TREES], loaded.on_demand("walk"))
        self._closed = False
        self._last_losses: Mapping[str, int] = {}
        self._skips: Mapping[str, int] = {}
        self._skips_until_ns = 0  # until then they are taken as they were read
        self._lock = threading.RLock()
        self._shares_lock = threading.Lock()
        self.tables: Mapping[str, Callable[[], Any]] = {
            "in_flight": self.in_flight,
            "operations": self.operations,
            "connections": self.connections,
            "credits": self.credits,
            "shares": self.shares,
            "files": self.files,
            "losses": self.losses,
            "figures": self.figures,
        }

    @property
    def plan(self) -> ProbePlan:
        """The plan in use."""
        return self._plan

    def fileno(self) -> int:
        """Readable once the kernel side wakes its reader, until :meth:`acknowledge`."""
        return self._wakeups.fileno()

    def acknowledge(self) -> None:
        """A wake-up is about to be served: only the next one makes the descriptor readable."""
        self._wakeups.poll(0, 1)

    @property
    def stopped_short(self) -> bool:
        """Whether the last read met a record that was still being written."""
        return self._ring.stopped_short

    def read(self, max_events: int) -> EventArray:
        """Up to ``max_events`` rows, oldest first; shape (N,), dtype EVENT, a copy."""
        into = np.empty(max_events, OPAQUE)
        return into[: self.read_into(into)].view(EVENT)

    def read_into(self, into: npt.NDArray[np.void]) -> int:
        """As many rows as there is room for, oldest first, at the beginning of ``into``.

        The files of the last :data:`SPARED_ROWS` may be looked up later: until then they stay.
        """
        if self._joining:
            return 0
        count, ids = self._ring.read_into(into)
        if count and self._files is not NO_FILES:
            self._ended.append((into, ids))
            self._ended_rows += count
            if self._ended_rows >= SPARED_ROWS:
                self.files()
        return count

    def is_quiet(self) -> bool:
        """Whether nothing waits in the ring, is in flight, or inside the client. Raises BpfError.

        It is asked all the time: by MID, mapped memory is compared, without a system call.
        """
        with self._lock:
            return self._closed or (
                self._ring.is_empty
                and self._in_flight.is_empty(time.monotonic_ns())
                and self._operations.is_empty()
            )

    def settle(self) -> None:
        """Look which files the requests were about, once there are some."""
        if self._ended_rows >= _WORTH_A_LOOK:
            self.files()

    def in_flight(self) -> EventArray:
        """Rows of the requests in flight, oldest first. Raises BpfError."""
        with self._lock:
            if self._closed:
                return NO_EVENTS
            rows, ids = split(self._in_flight.read(time.monotonic_ns()))
            self._files.waiting(rows, ids)
            self._interim.mark(rows)
            return rows

    def files(self) -> FileBook:
        """The files of the requests that were read, and of those in flight as of the last look."""
        with self._lock:
            if self._files is NO_FILES or self._closed:
                return self._files
            # A name is sent before its request ends, so that of each of these is there.
            if openings := self._names.read():
                self._files.opening(openings)
            if self._ended:
                self._files.ended(*self._join_ended())
            return self._files

    def _join_ended(self) -> tuple[EventArray, FileIdArray]:
        """The rows that ended and their ids, as copies. In a thread: nothing is read meanwhile."""
        self._joining = True
        try:
            ended = [self._ended.popleft() for _ in range(len(self._ended))]
            self._ended_rows = 0
            joined = np.concatenate([ids for _, ids in ended])
            if not np.count_nonzero(joined.view(np.uint64)):
                return NO_EVENTS, NO_EVENTS[:0]
            first = [room[: len(its_ids)] for room, its_ids in ended]
            return np.concatenate(first).view(EVENT), joined.view(FILE_ID)
        finally:
            self._joining = False

    def operations(self) -> OperationArray:
        """Operations inside the client, oldest first; none where their ends are not seen."""
        with self._lock:
            if self._closed or not self._follows_operations:
                return NO_OPERATIONS
            return self._operations.read(time.monotonic_ns())

    def wanted_stacks(self) -> tuple[int, ...]:
        """Threads whose stacks say what their operations wait for, as of the last look."""
        return self._operations.wanted_stacks()

    def set_stacks(self, read_ns: int, stacks: Mapping[int, str | None]) -> None:
        """Take in what was read of them; see :meth:`OperationTable.set_stacks`."""
        with self._lock:
            self._operations.set_stacks(read_ns, stacks)

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far, by connection id. Raises BpfError."""
        with self._lock:
            if self._closed:
                return self._connections.known()
            known = self._connections.read()
            if self._lists is not None:
                self._lists.take_in_new(self._connections.servers())
            return known

    def credits(self) -> Mapping[int, int]:
        """Credits of each connection now, by connection id; see :class:`ClientLists`."""
        with self._lock:
            if self._closed or self._lists is None:
                return {}
            self._connections.read()
            return self._lists.credits(self._connections.servers())

    def shares(self) -> Mapping[tuple[int, int], str]:
        """Shares seen so far, ``//server/share``, by session id and tree id. Raises BpfError."""
        with self._shares_lock:
            if self._closed:
                return self._shares.known()
            self.connections()
            return self._shares.read(self._connections.servers())

    def losses(self) -> Mapping[str, int]:
        """What was missed, by name: counters of the kernel side, and skipped programs.

        The latter as of five seconds ago at most.
        """
        with self._lock:
            if self._closed:
                return self._last_losses
            losses = {name: self._counters[counter] for name, counter in _LOSSES}
            losses["foreign"] = self._ring.foreign
            losses["name_ring_full"] = self._names.lost
            return losses | self._skipped(made_up_for=False)

    def figures(self) -> Mapping[str, int]:
        """What is worth knowing and no loss: records produced, wake-ups, requests rebuilt."""
        with self._lock:
            if self._closed:
                return {}
            figures = {name: self._counters[counter] for name, counter in _FIGURES}
            figures["produced"] = self._ring.produced
            figures["connections_forgotten"] = self._connections.forgotten
            figures["shares_forgotten"] = self._shares.forgotten
            figures["names_forgotten"] = self._files.forgotten
            figures["walks_cut"] = self._lists.cut if self._lists else 0
            return figures | self._skipped(made_up_for=True)

    def _skipped(self, *, made_up_for: bool) -> dict[str, int]:
        """Runs that the kernel skipped, of the programs which others make up for, or not."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._skips_until_ns:
            self._skips = self._loaded.skipped()
            self._skips_until_ns = now_ns + _SKIPS_FRESH_NS
        roles = frozenset[str]() if self._by_message else MADE_UP_FOR
        return {
            f"skipped_{role}": count
            for role, count in self._skips.items()
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
        with self._shares_lock, self._lock:
            if self._closed:
                return
            try:
                # The last reading that worked will do, if this one does not.
                with suppress(BpfError):
                    self._skips_until_ns = 0
                    self._last_losses = self.losses()
            finally:
                self._closed = True
                self._wakeups.close()
                self._ring.close()
                self._names.close()
                self._in_flight.close()
                self._operations.close()
                self._counters.close()
                self._loaded.close()

    def _state(self, index: StateIndex) -> int:
        value = lookup(self._loaded.maps[MapNumber.STATE], struct.pack("I", index), 8)
        return int.from_bytes(value or b"", sys.byteorder)
