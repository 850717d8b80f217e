# SPDX-License-Identifier: MIT
"""From firing windows to episodes, and from episodes to bundles.

An episode of an anomaly, or of one of its rules, on a server starts with its first
firing window and ends after three quiet intervals; what goes on without firing may hold
it open. It asks for one bundle at its start, and for a second one at its end if it lasted
for over half a minute. One more is due when a server that was lost comes back and refuses
logins, or written data turns out to be lost: until then nothing could say so. The budget
holds back bundles, all kinds, never the news of an episode.

A server that drops idle connections does so all day: after the first time, what costs no
request is one note, and no episode for an hour.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from aodasync.detection.budget import LOST_DATA, Budget, places_of
from aodasync.detection.detector import Firing
from aodasync.detection.logins import NO_LOGIN
from aodasync.events import NS_PER_MS, Kind
from aodasync.evidence.model import Finding
from aodasync.smb.ntstatus import LOGIN_REFUSED, LOGIN_UNCHECKED, status_name

__all__ = ["Ended", "Episodes", "Escalated", "IdleAgain", "Note", "Refused", "Started"]

_QUIET_INTERVALS = 3
_LASTED_NS = 30_000_000_000
_HOUR_NS = 3_600_000_000_000
_MOST_OPEN = 1024
_MOST_PLACES = 16_384  # of all open episodes, beside the names of their servers
_MOST_IDLE = 256
_SETTLED_NS = 1_000_000_000  # what a reconnect cuts off is seen some moments after it
_MOST_NAMED = 16
_FIRST_BUNDLE_NS = 5_000_000_000  # what comes sooner is in the bundle of the start
_REFUSALS = frozenset(
    [Kind.KEY_EXPIRED.name, *(status_name(status) for status in LOGIN_REFUSED | LOGIN_UNCHECKED)]
)


@dataclass(frozen=True, slots=True)
class Started:
    """An episode began. ``suppressed`` says why it gets no bundle; empty when it gets one."""

    episode: int
    finding: Finding
    suppressed: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An episode is over.

    ``finding`` is its last one, with the events that counted and the worst latency
    of all of it; ``windows`` is how many fired. ``suppressed`` is None where no
    second bundle is due, else as in :class:`Started`.
    """

    episode: int
    finding: Finding
    windows: int
    duration_ms: float
    suppressed: str | None


@dataclass(frozen=True, slots=True)
class Escalated:
    """A request passed the emergency threshold in an episode that had begun without one."""

    episode: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Refused:
    """In an episode that had begun without, logins are refused, or ``data_lost``.

    ``suppressed`` is as above.
    """

    episode: int
    finding: Finding
    suppressed: str
    data_lost: bool


@dataclass(frozen=True, slots=True)
class IdleAgain:
    """A server dropped idle connections again; it is said once, until an hour without."""

    finding: Finding


Note: TypeAlias = Escalated | Refused | IdleAgain


@dataclass(slots=True)
class _Open:
    number: int
    finding: Finding
    first_ns: int
    last_window: int
    count: int = 0
    windows: int = 0
    max_latency_ms: float = 0.0
    emergency: bool = False
    grave: bool = False
    codes: tuple[str, ...] = ()

    def take(self, firing: Firing) -> None:
        finding = self.finding = firing.finding
        self.first_ns = min(self.first_ns, finding.first_ns)
        self.last_window = max(self.last_window, firing.window)
        self.count += firing.added
        self.windows += firing.first
        self.max_latency_ms = max(self.max_latency_ms, finding.max_latency_ms)
        self.emergency |= finding.emergency
        self.grave |= finding.grave
        self.codes = tuple(dict.fromkeys((*self.codes, *finding.codes)))[:_MOST_NAMED]

    def so_far(self) -> Finding:
        """The newest finding, with the figures of all of the episode."""
        return replace(
            self.finding,
            count=self.count,
            max_latency_ms=self.max_latency_ms,
            first_ns=self.first_ns,
            emergency=self.emergency,
            grave=self.grave,
            codes=self.codes,
        )


@dataclass(slots=True)
class _Idle:
    """An idle reconnect: the last one of a server, and whether there was a note of it."""

    at_ns: int
    firing: Firing
    noted: bool = False
    due: bool = False  # a note, unless it turns out to have cost a request


class Episodes:
    """The open episodes; times are CLOCK_MONOTONIC in ns.

    A firing belongs to the open episode of its anomaly and rule on the same server: one with a
    connection in common, whatever the server is called by now, else one of that name.
    """

    def __init__(
        self, *, interval_ns: int, cooldown_ns: Mapping[str, int], max_bundles_per_hour: int
    ) -> None:
        self._interval_ns = interval_ns
        self._budget = Budget(cooldown_ns=cooldown_ns, max_bundles_per_hour=max_bundles_per_hour)
        self._open: dict[int, _Open] = {}
        self._places: dict[tuple[str, str, int | str], int] = {}
        """Open episodes by anomaly, rule and where."""
        self._idle: deque[_Idle] = deque(maxlen=_MOST_IDLE)
        self._notes: list[Note] = []
        self._number = 0
        self.not_opened = 0
        """Episodes that would have been one too many."""
        self.not_followed = 0
        """How often a connection of an episode could not be noted: its server's name was alone."""
        self.idle_reconnects = 0
        """Those that made no episode."""

    def reconfigure(
        self, *, interval_ns: int, cooldown_ns: Mapping[str, int], max_bundles_per_hour: int
    ) -> None:
        """Other limits from now on; open episodes go on. See the arguments of the class."""
        for episode in self._open.values():
            last_ns = episode.last_window * self._interval_ns
            episode.last_window = last_ns // interval_ns
        self._interval_ns = interval_ns
        self._budget.reconfigure(cooldown_ns=cooldown_ns, max_bundles_per_hour=max_bundles_per_hour)

    @property
    def open_count(self) -> int:
        """How many episodes are open."""
        return len(self._open)

    @property
    def suppressed(self) -> int:
        """Bundles held back since the start."""
        return self._budget.suppressed

    def open_findings(self) -> tuple[Finding, ...]:
        """The open episodes, each as its newest finding with the figures of all of it."""
        return tuple(episode.so_far() for episode in self._open.values())

    def take_notes(self) -> list[Note]:
        """What else there is to say since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def observe(self, firing: Firing, now_ns: int) -> Started | None:
        """Take a firing window in; says whether an episode started with it."""
        finding = firing.finding
        number = None
        places = []
        for where in places_of(finding):
            places.append(place := (finding.anomaly, finding.rule, where))
            number = number or self._places.get(place)
        if number is None and finding.idle and self._is_idle_again(firing, now_ns):
            return None
        if number is None and len(self._open) == _MOST_OPEN:
            self.not_opened += 1
            return None
        started = None
        if number is None:
            self._number = number = self._number + 1
            self._open[number] = _Open(
                number, finding, finding.first_ns, firing.window, emergency=finding.emergency
            )
            started = Started(number, finding, self._budget.spend(finding, now_ns))
        episode = self._open[number]
        if finding.emergency and not episode.emergency:
            self._notes.append(Escalated(number, finding))
        if started is None and finding.codes:
            self._note_refusals(episode, finding, now_ns)
        episode.take(firing)
        for place in places:
            if len(self._places) < _MOST_PLACES or place[2] == finding.server:
                self._places.setdefault(place, number)
            else:
                self.not_followed += place not in self._places
        return started

    def _note_refusals(self, episode: _Open, finding: Finding, now_ns: int) -> None:
        """Another bundle, if refused logins or lost data are new to an episode."""
        fresh = set(finding.codes).difference(episode.codes)
        lost = not fresh.isdisjoint(LOST_DATA)
        refused = not fresh.isdisjoint(_REFUSALS) and _REFUSALS.isdisjoint(episode.codes)
        late = now_ns - episode.first_ns > _FIRST_BUNDLE_NS
        if ((lost or refused) and late) or NO_LOGIN in fresh:
            suppressed = self._budget.spend(finding, now_ns, cooling=False)
            self._notes.append(Refused(episode.number, finding, suppressed, data_lost=lost))

    def hold(self, anomaly: str, connections: Iterable[int], now_ns: int) -> None:
        """Let this interval be no quiet one for open episodes on these connections."""
        for connection in connections:
            number = self._places.get((anomaly, "", connection))
            if number is not None:
                episode = self._open[number]
                episode.last_window = max(episode.last_window, now_ns // self._interval_ns)

    def cut_off(self, anomaly: str, connections: Iterable[int], now_ns: int) -> Started | None:
        """A reconnect that seemed idle did cost a request: it is an episode after all."""
        wanted = set(connections)
        if any((anomaly, "", connection) in self._places for connection in wanted):
            return None
        for idle in self._idle:
            finding = idle.firing.finding
            if finding.anomaly == anomaly and not wanted.isdisjoint(finding.connections):
                if idle.due:
                    self.idle_reconnects -= idle.firing.first
                    idle.due = idle.noted = False
                return self.observe(
                    replace(idle.firing, finding=replace(finding, idle=False)), now_ns
                )
        return None

    def tick(self, now_ns: int) -> list[Ended]:
        """Close the episodes whose last three intervals were quiet, the eldest first."""
        window = now_ns // self._interval_ns
        for idle in self._idle:
            if idle.due and now_ns - idle.at_ns >= _SETTLED_NS:
                idle.due = False
                self._notes.append(IdleAgain(idle.firing.finding))
        over = [e for e in self._open.values() if window > e.last_window + _QUIET_INTERVALS]
        for episode in over:
            del self._open[episode.number]
        if over:
            self._places = {at: n for at, n in self._places.items() if n in self._open}
        return [self._end(episode, now_ns) for episode in over]

    def _end(self, episode: _Open, now_ns: int) -> Ended:
        end_ns = (episode.last_window + 1) * self._interval_ns
        lasted_ns = max(0, end_ns - episode.first_ns)
        finding = episode.so_far()
        return Ended(
            episode=episode.number,
            finding=finding,
            windows=episode.windows,
            duration_ms=lasted_ns / NS_PER_MS,
            suppressed=self._budget.spend(finding, now_ns) if lasted_ns > _LASTED_NS else None,
        )

    def _is_idle_again(self, firing: Firing, now_ns: int) -> bool:
        """Whether the server dropped idle connections within the last hour as well."""
        finding = firing.finding
        for idle in self._idle:
            earlier = idle.firing.finding
            same = not set(places_of(finding)).isdisjoint(places_of(earlier))
            if same and earlier.anomaly == finding.anomaly:
                again = now_ns - idle.at_ns < _HOUR_NS
                idle.at_ns, idle.firing = now_ns, firing
                if again:
                    self.idle_reconnects += firing.first
                    idle.due |= not idle.noted
                idle.noted = again
                return again
        self._idle.append(_Idle(now_ns, firing))
        return False
