# SPDX-License-Identifier: MIT
"""All configured detectors over one stream: rows in, episodes out.

Pure: the rows and the clock are arguments, so a live agent, a replay and a test
drive the same code.

A detector that raises is replaced by a fresh one; its neighbours lose no row, its open
episodes go on. The fresh one takes up what was learnt, unless it failed before: then that
may be the reason. A detector that fails five times in ten minutes is given up.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Final, TypedDict, TypeVar

from aodasync.config.model import (
    Anomaly,
    Config,
    ConnectionAnomaly,
    DriftAnomaly,
    ErrorAnomaly,
    HangAnomaly,
    LatencyAnomaly,
)
from aodasync.detection.batch_content import Content
from aodasync.detection.connection import ConnectionDetector
from aodasync.detection.connections import Connections
from aodasync.detection.detector import (
    NOTHING_URGENT,
    Context,
    CutOff,
    Detector,
    Held,
    Signal,
    Urgency,
    View,
)
from aodasync.detection.drift import DriftDetector
from aodasync.detection.episodes import Ended, Episodes, Started
from aodasync.detection.hang import HangDetector
from aodasync.detection.latency import LatencyDetector
from aodasync.detection.status_codes import ErrorDetector
from aodasync.events import EventArray

__all__ = ["DETECTORS", "Engine", "Failure"]

DETECTORS: Final[dict[type[Any], Callable[[Any, Context], Detector]]] = {
    LatencyAnomaly: LatencyDetector,
    ErrorAnomaly: ErrorDetector,
    HangAnomaly: HangDetector,
    ConnectionAnomaly: ConnectionDetector,
    DriftAnomaly: DriftDetector,
}
"""What makes the detector of an anomaly, by the class of its configuration."""

_News = TypeVar("_News", Started, Ended)

_SECOND_NS: Final = 1_000_000_000
_MOST_FAILURES: Final = 5
_FAILURES_WITHIN_NS: Final = 600 * _SECOND_NS


@dataclass(frozen=True, slots=True)
class Failure:
    """A detector raised ``error`` at ``where`` (file, line, function) and was replaced.

    ``restarts`` counts all replacements; after the last one it is ``given_up``.
    """

    anomaly: str
    detector: str
    error: str
    where: str
    restarts: int
    given_up: bool


@dataclass(slots=True)
class _Slot:
    """An anomaly and its detector; None once given up."""

    anomaly: Anomaly
    detector: Detector | None
    name: str
    restarts: int = 0
    failed_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_MOST_FAILURES))


class _Limits(TypedDict):
    interval_ns: int
    cooldown_ns: dict[str, int]
    max_bundles_per_hour: int


def _limits(config: Config) -> _Limits:
    return {
        "interval_ns": round(config.watch_interval_sec * _SECOND_NS),
        "cooldown_ns": {a.name: round(a.cooldown_sec * _SECOND_NS) for a in config.anomalies},
        "max_bundles_per_hour": config.collector.max_bundles_per_hour,
    }


class Engine:
    """The detectors of a configuration and their episodes.

    ``server_of`` names the server of a connection id.
    """

    def __init__(self, config: Config, server_of: Callable[[int], str]) -> None:
        limits = _limits(config)
        self._connections = Connections(server_of)
        self._context = Context(limits["interval_ns"], self._connections, config.anomalies)
        self._slots = [self._slot(anomaly) for anomaly in config.anomalies]
        self._connections_restarts = 0
        self._failures: list[Failure] = []
        self._now_ns = 0
        self.episodes = Episodes(**limits)

    def reconfigure(self, config: Config) -> None:
        """Go on with another configuration.

        Open episodes, the budget that was spent and what was learnt stay. An episode of an
        anomaly that is gone ends with its quiet intervals, as any does.
        """
        limits = _limits(config)
        context = Context(limits["interval_ns"], self._connections, config.anomalies)
        if context != self._context:
            learnt = self.export()
            self._context = context
            self._slots = [self._slot(anomaly) for anomaly in config.anomalies]
            with suppress(ValueError):  # of an anomaly that is of another type now
                self.restore(learnt)
        self.episodes.reconfigure(**limits)

    def process(self, rows: EventArray, now_ns: int) -> list[Started]:
        """Take rows in, of shape (N,) and oldest first; returns the episodes they started."""
        return list(self.decide(rows, now_ns))

    def decide(self, rows: EventArray, now_ns: int) -> Iterator[Started]:
        """As :meth:`process`, but lazily: an episode is reported before the rest is worked out."""
        self._now_ns = now_ns
        try:
            self._connections.observe(rows)
        except Exception as error:  # noqa: BLE001  # detectors go on without what it knew
            self._connections.clear()
            self._connections_restarts += 1
            name, restarts = type(self._connections).__name__, self._connections_restarts
            self._report("all", name, error, restarts=restarts, given_up=False)
        for slot in self._slots:
            if slot.detector is not None:
                try:
                    # Most have nothing to say to most batches.
                    if signals := slot.detector.observe(rows):
                        yield from self._heed_all(slot, signals)
                except Exception as error:  # noqa: BLE001  # its neighbours go on
                    self._replace(slot, error)

    @property
    def content(self) -> Content:
        """What the last batch had to say."""
        return self._connections.content

    @property
    def watches_in_flight(self) -> bool:
        """Whether any detector uses the requests in flight and the operations of a view."""
        return any(slot.detector and slot.detector.watches_in_flight for slot in self._slots)

    @property
    def awaits(self) -> bool:
        """Whether time alone may bring something: an episode is open, or a detector awaits it."""
        return self.episodes.open_count > 0 or any(
            slot.detector is not None and slot.detector.awaits for slot in self._slots
        )

    def look(self, view: View) -> list[Started]:
        """Look around, once an interval; returns the episodes that started."""
        self._now_ns = view.now_ns
        self._connections.look(view.now_ns)
        found: list[Started] = []
        for slot in self._slots:
            if slot.detector is not None:
                try:
                    found += self._heed_all(slot, slot.detector.look(view))
                except Exception as error:  # noqa: BLE001  # its neighbours go on
                    self._replace(slot, error)
        return found

    def tick(self, now_ns: int) -> list[Ended]:
        """Let time pass; returns the episodes that ended."""
        return [self._of_whole_server(ended) for ended in self.episodes.tick(now_ns)]

    def urgency(self) -> Urgency:
        """What the kernel side shall report at once, of all detectors."""
        merged = NOTHING_URGENT
        for slot in self._slots:
            merged = merged.merge(self._ask(slot, lambda d: d.urgency(), NOTHING_URGENT))
        return merged

    def export(self) -> dict[str, Any]:
        """What was learnt, by anomaly, as plain JSON values."""
        exported = {s.anomaly.name: self._ask(s, lambda d: d.export(), None) for s in self._slots}
        return {name: learnt for name, learnt in exported.items() if learnt is not None}

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Take up what :meth:`export` returned, for the anomalies that there still are.

        Raises:
            ValueError: some of it is not of that kind; the rest was taken up.
        """
        refused = []
        for slot in self._slots:
            if slot.detector is not None and slot.anomaly.name in exported:
                try:
                    slot.detector.restore(exported[slot.anomaly.name])
                except ValueError as error:
                    refused.append(f"{slot.anomaly.name}: {error}")
        if refused:
            raise ValueError("; ".join(refused))

    def usual(self) -> list[Mapping[str, Any]]:
        """What is usual: ``server``, ``command`` (name) and the learnt median in ``ms`` of each."""
        return [
            entry for slot in self._slots for entry in self._ask(slot, lambda d: [*d.usual()], [])
        ]

    def take_failures(self) -> list[Failure]:
        """The failures of detectors since the last call."""
        failures, self._failures = self._failures, []
        return failures

    def detectors(self) -> dict[str, dict[str, Any]]:
        """By anomaly: its detector, how often that was replaced, whether it is given up."""
        return {
            slot.anomaly.name: {
                "detector": slot.name,
                "restarts": slot.restarts,
                "given_up": slot.detector is None,
            }
            for slot in self._slots
        }

    def figures(self) -> dict[str, int]:
        """How full its tables are, and what was forgotten for lack of room."""
        return {
            "open_episodes": self.episodes.open_count,
            "episodes_not_opened": self.episodes.not_opened,
            "idle_reconnects": self.episodes.idle_reconnects,
            "connections": len(self._connections),
            "connections_forgotten": self._connections.forgotten,
            "connections_not_followed": self.episodes.not_followed,
            "forgotten_by_detectors": sum(
                self._ask(slot, lambda d: d.forgotten(), 0) for slot in self._slots
            ),
        }

    def _slot(self, anomaly: Anomaly) -> _Slot:
        detector = DETECTORS[type(anomaly)](anomaly, self._context)
        return _Slot(anomaly, detector, type(detector).__name__)

    def _heed_all(self, slot: _Slot, signals: Iterable[Signal]) -> Iterator[Started]:
        for signal in signals:
            if (started := self._heed(slot, signal)) is not None:
                yield started

    def _heed(self, slot: _Slot, signal: Signal) -> Started | None:
        name = slot.anomaly.name
        if isinstance(signal, Held):
            self.episodes.hold(name, signal.connections, self._now_ns)
            return None
        if isinstance(signal, CutOff):
            episode = self.episodes.cut_off(name, signal.connections, self._now_ns)
        else:
            episode = self.episodes.observe(signal, self._now_ns)
        return None if episode is None else self._of_whole_server(episode)

    def _of_whole_server(self, news: _News) -> _News:
        """The same, with all connections to its server: what those go through is evidence, too."""
        connections = self._connections.of_same_server(news.finding.connections)
        if connections == news.finding.connections:
            return news
        return replace(news, finding=replace(news.finding, connections=connections))

    def _ask(self, slot: _Slot, question: Callable[[Detector], Any], otherwise: Any) -> Any:
        """One detector's answer; ``otherwise`` if it is given up, or fails."""
        if slot.detector is None:
            return otherwise
        try:
            return question(slot.detector)
        except Exception as error:  # noqa: BLE001  # its neighbours go on
            self._replace(slot, error)
            return otherwise

    def _replace(self, slot: _Slot, error: Exception) -> None:
        recent = [at for at in slot.failed_ns if self._now_ns - at < _FAILURES_WITHIN_NS]
        slot.failed_ns.append(self._now_ns)
        slot.restarts += 1
        failed, slot.detector = slot.detector, None
        if len(recent) < _MOST_FAILURES - 1:
            with suppress(Exception):  # the first error is the one to report
                slot.detector = DETECTORS[type(slot.anomaly)](slot.anomaly, self._context)
                if failed is not None and not recent and (learnt := failed.export()) is not None:
                    slot.detector.restore(learnt)
        self._report(
            slot.anomaly.name,
            slot.name,
            error,
            restarts=slot.restarts,
            given_up=slot.detector is None,
        )

    def _report(
        self, anomaly: str, detector: str, error: Exception, *, restarts: int, given_up: bool
    ) -> None:
        raised = traceback.extract_tb(error.__traceback__)[-1]
        failure = Failure(
            anomaly=anomaly,
            detector=detector,
            error=f"{type(error).__name__}: {error}",
            where=f"{PurePath(raised.filename).name}:{raised.lineno} in {raised.name}",
            restarts=restarts,
            given_up=given_up,
        )
        self._failures.append(failure)
