# SPDX-License-Identifier: MIT
"""What surrounds the requests and decays fast: TCP's figures, and the host's own shortages.

A sample a second is kept for half a minute, one in ten seconds for ten minutes:
a verdict needs to know not how things are but how they changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from aodasync.clock import Clock
from aodasync.errors import BpfError
from aodasync.evidence import Connection, Sample
from aodasync.tcp import TcpSocket, tcp_sockets

__all__ = ["Surroundings", "stalled_us"]

_PRESSURE: Final = Path("/proc/pressure")
_RESOURCES: Final = ("cpu", "io", "memory")
_RECENT: Final = 32
_OLDER: Final = 60
_OLDER_NS: Final = 10_000_000_000


def stalled_us(folder: Path = _PRESSURE) -> dict[str, int]:
    """Microseconds that some task waited for each resource since the boot (PSI ``some``).

    A resource is missing where the kernel does not tell (CONFIG_PSI, psi=0).
    """
    totals = {}
    for resource in _RESOURCES:
        try:
            line = (folder / resource).read_text(encoding="ascii").splitlines()[0]
            totals[resource] = int(line.rpartition("total=")[2])
        except (OSError, ValueError, IndexError):
            continue
    return totals


class Surroundings:
    """Takes samples and keeps the last ones. ``connections`` tells which peers matter."""

    def __init__(self, connections: Callable[[], Mapping[int, Connection]], clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._recent: deque[Sample] = deque(maxlen=_RECENT)
        self._older: deque[Sample] = deque(maxlen=_OLDER)

    def peers(self) -> frozenset[tuple[str, int]]:
        """Addresses and ports of all connections known; none when they cannot be read."""
        try:
            connections = self._connections().values()
        except BpfError:
            return frozenset()
        return frozenset((c.address, c.port) for c in connections if c.port)

    def take(self, peers: frozenset[tuple[str, int]]) -> Sample:
        """A sample of now: half a millisecond, most of it the kernel's walk over its sockets."""
        sockets: tuple[TcpSocket, ...] = ()
        error = ""
        try:
            sockets = tuple(tcp_sockets(peers))
        except OSError as failure:
            error = str(failure)
        return Sample(self._clock.monotonic_ns(), sockets, stalled_us(), error)

    def keep(self, sample: Sample) -> None:
        """Add a sample to the history."""
        if not self._older or sample.monotonic_ns - self._older[-1].monotonic_ns >= _OLDER_NS:
            self._older.append(sample)
        self._recent.append(sample)

    def now(self) -> tuple[Sample, ...]:
        """The history, oldest first, and a sample of this moment at its end."""
        oldest_ns = self._recent[0].monotonic_ns if self._recent else 0
        older = (sample for sample in self._older if sample.monotonic_ns < oldest_ns)
        return (*older, *self._recent, self.at_once())

    def at_once(self) -> Sample:
        """A sample of this moment."""
        return self.take(self.peers())
