# SPDX-License-Identifier: MIT
"""How TCP fared during an episode, and what the host ran short of: differences of samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from aodasync.evidence.arrays import median
from aodasync.evidence.model import Sample
from aodasync.host.tcp_sockets import TcpSocket

__all__ = ["Pressure", "TcpFigures", "pressure", "tcp_figures"]

Peer: TypeAlias = tuple[str, int, int]
"""Address, port and network namespace."""

Sight: TypeAlias = tuple[int, Mapping[int, TcpSocket]]
"""The sockets of one moment (CLOCK_MONOTONIC), by cookie."""

_S = 1e9
_LEAST_SEC = 0.2


@dataclass(frozen=True, slots=True)
class TcpFigures:
    """The sockets of one server, over the episode.

    ``rtt_ms`` is the newest round trip, or that of most of the episode, if that is longer: at
    its end all may be well again. It is of the socket on which it rose most, and so is
    ``usual_rtt_ms``, which is None where nothing is known from before.
    ``lost`` are retransmissions (but those that the peer got twice: they were late,
    not lost) and segments out of order, less what was usual before; ``needless`` are those
    that the peer got twice: it acknowledged later than the retransmission timer; ``backoff`` is
    the most doublings of the retransmission timer while segments waited to be
    acknowledged, or could not be sent (a peer that closed its window is probed with the
    same timer),
    ``unheard_ms`` the longest that some were outstanding and nothing came from the peer
    (where this host itself drops them, TCP does not double its timer),
    ``unsent_bytes`` are those that this host itself drops, at the end;
    ``still_unread_bytes`` the most that one held unread for longer than a moment,
    ``unread_for_ms`` the longest that one held some, from sample to sample,
    ``quiet_ms`` how long nothing was heard of the peer at the end, ``vanished``
    sockets ended meanwhile.
    """

    sockets: int
    rtt_ms: float
    usual_rtt_ms: float | None
    retransmits: int
    out_of_order: int
    lost: float
    needless: int
    backoff: int
    unheard_ms: float
    unacked: int
    unsent_bytes: int
    unread_bytes: int
    still_unread_bytes: int
    unread_for_ms: float
    quiet_ms: int
    vanished: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """Shares of the time (0 to 1) in which some task waited for a resource; None: unknown."""

    share: float | None
    usual: float | None

    @property
    def risen(self) -> float:
        """How far the share lies over the usual one."""
        return (self.share or 0.0) - (self.usual or 0.0)


def _split(samples: Sequence[Sample], begin_ns: int) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Before the episode, and from its beginning on; the last sample before belongs to both."""
    before = [sample for sample in samples if sample.monotonic_ns <= begin_ns] or samples[:1]
    return before, samples[len(before) - 1 :]


def tcp_figures(
    samples: Sequence[Sample], peers: Collection[Peer], begin_ns: int
) -> TcpFigures | None:
    """The figures, or None where no sample knows a socket of these peers."""
    before, during = _split(samples, begin_ns)
    first, last = _by_cookie(during[:1], peers), _by_cookie(during, peers)
    if not last:
        return None
    alive = _by_cookie(during[-1:], peers)
    retransmits = sum(s.retransmits - _then(first, s).retransmits for s in last.values())
    lost = sum(max(0, _lost(s) - _lost(_then(first, s))) for s in last.values())
    out_of_order = sum(s.out_of_order - _then(first, s).out_of_order for s in last.values())
    seen = _sockets(during, peers)
    sights = [(sample.monotonic_ns, _by_cookie([sample], peers)) for sample in during]
    calm = [sample for sample in before if sample.monotonic_ns <= begin_ns]
    rtt_ms, usual_rtt_ms = _round_trip(last, seen, _sockets(calm, peers))
    established = [s for s in alive.values() if s.established]
    return TcpFigures(
        sockets=len(established),
        rtt_ms=rtt_ms,
        usual_rtt_ms=usual_rtt_ms,
        retransmits=retransmits,
        out_of_order=out_of_order,
        needless=sum(s.duplicates - _then(first, s).duplicates for s in last.values()),
        lost=max(0.0, lost - _expected(before, during, peers)),
        backoff=max(s.backoff if s.unacked or s.unsent_bytes else 0 for s in seen),
        unheard_ms=max((_unheard_ms(sights, cookie) for cookie in last), default=0.0),
        unacked=sum(s.unacked for s in alive.values()),
        unsent_bytes=sum(s.unsent_bytes for s in alive.values()),
        unread_bytes=max(s.unread_bytes for s in seen),
        still_unread_bytes=_still_unread(during, peers),
        unread_for_ms=max((_unread_for_ms(sights, cookie) for cookie in last), default=0.0),
        quiet_ms=min((s.quiet_ms for s in established), default=0),
        vanished=len(set(first) - set(alive)),
    )


def _round_trip(
    last: Mapping[int, TcpSocket], seen: Sequence[TcpSocket], calm: Sequence[TcpSocket]
) -> tuple[float, float | None]:
    """That of the socket whose round trip rose most, in ms, and what is usual for it.

    One way to a server may always be longer than another. A socket that was made meanwhile is
    held against those to the same address before, else against all.
    """
    most_of_it, own = _median_rtts(seen, "cookie"), _median_rtts(calm, "cookie")
    same, of_all = _median_rtts(calm, "address"), _median_rtt(calm)
    rises = []
    for cookie, socket in last.items():
        usual_ms = own.get(cookie) or same.get(socket.address) or of_all
        rises.append((max(socket.rtt_ms, most_of_it.get(cookie) or 0.0), usual_ms))
    return max(rises, key=lambda rise: (rise[0] - (rise[1] or 0.0), rise[0]))


def _median_rtts(sockets: Sequence[TcpSocket], key: str) -> dict[Any, float | None]:
    """That of the sockets of each value of ``key``."""
    groups: dict[Any, list[TcpSocket]] = {}
    for each in sockets:
        groups.setdefault(getattr(each, key), []).append(each)
    return {value: _median_rtt(group) for value, group in groups.items()}


def _median_rtt(sockets: Iterable[TcpSocket]) -> float | None:
    """The median of those that are known; one that is not connected has none."""
    known = [s.rtt_ms for s in sockets if s.established and s.rtt_ms]
    return median(np.array(known)) if known else None


def _still_unread(samples: Sequence[Sample], peers: Collection[Peer]) -> int:
    """The most bytes that a socket held unread in both of the last two samples."""
    earlier, last = (_by_cookie(part, peers) for part in (samples[-2:-1], samples[-1:]))
    both = [min(earlier[c].unread_bytes, s.unread_bytes) for c, s in last.items() if c in earlier]
    return max(both, default=0)


def _unread_for_ms(sights: Sequence[Sight], cookie: int) -> float:
    """The longest time, from sample to sample, in which one socket was never read empty."""
    longest, since_ns = 0.0, 0
    for at_ns, sockets in sights:
        found = sockets.get(cookie)
        if found is None or found.unread_bytes == 0:
            since_ns = 0
        else:
            since_ns = since_ns or at_ns
            longest = max(longest, (at_ns - since_ns) / 1e6)
    return longest


def _unheard_ms(sights: Sequence[Sight], cookie: int) -> float:
    """The longest time, from sample to sample, in which one socket waited and heard nothing."""
    longest, since_ns = 0.0, 0
    for at_ns, sockets in sights:
        found = sockets.get(cookie)
        if found is None or found.unacked == 0:
            since_ns = 0
            continue
        waited_ms = (at_ns - since_ns) / 1e6
        if since_ns == 0 or found.quiet_ms < waited_ms:
            since_ns = at_ns
        else:
            longest = max(longest, waited_ms)
    return longest


def pressure(samples: Sequence[Sample], resource: str, begin_ns: int) -> Pressure:
    """The share of a resource during the episode, and before it."""
    before, during = _split(samples, begin_ns)
    # The last sample before may be a second older than the episode, and dilute a short one.
    inside = _share([s for s in during if s.monotonic_ns >= begin_ns], resource)
    share = _share(during, resource) if inside is None else inside
    return Pressure(share, _share(before, resource))


def _share(samples: Sequence[Sample], resource: str) -> float | None:
    known = [s for s in samples if resource in s.stalled_us]
    if len(known) < 2:
        return None
    elapsed = (known[-1].monotonic_ns - known[0].monotonic_ns) / _S
    stalled = (known[-1].stalled_us[resource] - known[0].stalled_us[resource]) / 1e6
    return min(1.0, max(0.0, stalled / elapsed)) if elapsed >= _LEAST_SEC else None


def _sockets(samples: Sequence[Sample], peers: Collection[Peer]) -> list[TcpSocket]:
    return [
        s for sample in samples for s in sample.sockets if (s.address, s.port, s.netns) in peers
    ]


def _by_cookie(samples: Sequence[Sample], peers: Collection[Peer]) -> dict[int, TcpSocket]:
    """The newest sight of each socket; one that was closed has no figures any more."""
    found: dict[int, TcpSocket] = {}
    for each in _sockets(samples, peers):
        if each.rtt_ms or each.retransmits or each.cookie not in found:
            found[each.cookie] = each
    return found


def _then(first: dict[int, TcpSocket], socket: TcpSocket) -> TcpSocket:
    """A socket at the beginning; one that came later began with nothing."""
    return first.get(socket.cookie) or _NEW


def _lost(socket: TcpSocket) -> int:
    """Segments lost since its beginning, as far as this end knows."""
    return socket.retransmits - socket.duplicates + socket.out_of_order


def _expected(before: Sequence[Sample], during: Sequence[Sample], peers: Collection[Peer]) -> float:
    """Losses in as long a time as the episode, at three times the rate before it."""
    first, last = _by_cookie(before[:1], peers), _by_cookie(before[-1:], peers)
    elapsed = (before[-1].monotonic_ns - before[0].monotonic_ns) / _S
    if elapsed < _LEAST_SEC:
        return 0.0
    lost = sum(max(0, _lost(s) - _lost(first[c])) for c, s in last.items() if c in first)
    span = (during[-1].monotonic_ns - during[0].monotonic_ns) / _S
    return 3.0 * lost / elapsed * span


_NEW = TcpSocket(0, "", 0, False, 0.0, 0, 0, 0, 0, 0, 0)  # noqa: FBT003  # a row of zeros
