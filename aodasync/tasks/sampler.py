# SPDX-License-Identifier: MIT
"""One-second samples of TCP_INFO and PSI: the baseline that verdicts compare against.

A sample a second is kept for half a minute, one in ten seconds for ten minutes:
a verdict needs to know not how things are but how they changed.

Sockets are asked for in the network namespace of each connection: a container's mount has
its own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from aodasync.evidence.model import Connection, EvidenceSource, Sample
from aodasync.host.clock import Clock
from aodasync.host.network_namespace import own_netns
from aodasync.host.tcp_sockets import TcpSocket, TcpSockets
from aodasync.host.threads import in_thread
from aodasync.process.netns_sockets import NamespaceSockets
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Sampler", "stalled_us"]

_PRESSURE: Final = Path("/proc/pressure")
_RESOURCES: Final = ("cpu", "io", "memory")
_EVERY_SEC: Final = 1.0
_SILENT_SEC: Final = 10.0
_RECENT: Final = 32
_OLDER: Final = 60
_OLDER_NS: Final = 10_000_000_000
_MOST_ERRORS: Final = 4
_LINE_BYTES: Final = 256


def stalled_us(folder: Path = _PRESSURE) -> dict[str, int]:
    """Microseconds that some task waited for each resource since the boot (PSI ``some``).

    A resource is missing where the kernel does not tell (CONFIG_PSI, psi=0).
    """
    totals = {}
    for resource in _RESOURCES:
        try:
            with open(f"{folder}/{resource}", "rb", buffering=0) as file:  # noqa: PTH123  # half the time
                line = file.read(_LINE_BYTES).partition(b"\n")[0]
            totals[resource] = int(line.rpartition(b"total=")[2])
        except (OSError, ValueError):
            continue
    return totals


class Sampler:
    """Takes samples of the sockets of ``source``'s connections and keeps the last ones."""

    def __init__(self, source: EvidenceSource, clock: Clock, beat: Beat = steady) -> None:
        self._beat = beat
        self._source = source
        self._clock = clock
        self._recent: deque[Sample] = deque(maxlen=_RECENT)
        self._older: deque[Sample] = deque(maxlen=_OLDER)
        self._own = own_netns()
        self._sockets = {netns: TcpSockets() for netns in (0, self._own)}
        self.elsewhere = NamespaceSockets()

    async def run(self) -> None:
        """Sample until cancelled; nothing is asked of the kernel while no connection is known."""
        try:
            while True:
                connections = self._connections()
                if connections:
                    newest = {c.netns: c.connection_id for c in connections}
                    await self.elsewhere.open(
                        {n: c for n, c in newest.items() if self._is_other(n)}
                    )
                    self.keep(await in_thread(partial(self.take, connections)))
                await self._beat(_EVERY_SEC, _SILENT_SEC)
        finally:
            self.elsewhere.close()

    def take(self, connections: list[Connection]) -> Sample:
        """A sample of now. Blocks, for 0.2 s at most."""
        by_netns: dict[int, list[tuple[int, str, int]]] = {}
        for each in connections:
            of = each.connection_id, each.address, each.port
            by_netns.setdefault(each.netns, []).append(of)
        sockets: list[TcpSocket] = []
        errors = []
        for netns, wanted in by_netns.items():
            try:
                if self._is_other(netns):
                    found = self.elsewhere.read(netns, wanted)
                else:
                    found = self._sockets[netns].read(wanted)
                sockets += [replace(one, netns=netns) for one in found]
            except OSError as failure:
                errors.append(str(failure))
        now_ns = self._clock.monotonic_ns()
        return Sample(now_ns, tuple(sockets), stalled_us(), "; ".join(errors[:_MOST_ERRORS]))

    def _connections(self) -> list[Connection]:
        """All connections known, by rising id; none when they cannot be read."""
        known = self._source.snapshot("connections").connections
        return [known[number] for number in sorted(known) if known[number].port]

    def _is_other(self, netns: int) -> bool:
        return netns not in (0, self._own)

    def keep(self, sample: Sample) -> None:
        """Add a sample to the history."""
        if not self._older or sample.monotonic_ns - self._older[-1].monotonic_ns >= _OLDER_NS:
            self._older.append(sample)
        self._recent.append(sample)

    def latest(self) -> tuple[TcpSocket, ...]:
        """The sockets of the newest sample in the history; nothing is asked of the kernel."""
        return self._recent[-1].sockets if self._recent else ()

    def history(self) -> tuple[Sample, ...]:
        """The samples kept, oldest first; nothing is asked of the kernel."""
        oldest_ns = self._recent[0].monotonic_ns if self._recent else 0
        older = (sample for sample in self._older if sample.monotonic_ns < oldest_ns)
        return (*older, *self._recent)

    def at_once(self) -> Sample:
        """A sample of this moment. Blocks, for 0.2 s at most."""
        return self.take(self._connections())
