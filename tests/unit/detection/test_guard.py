# SPDX-License-Identifier: MIT
"""A detector that raises costs its own state, and no other detector a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from aodasync.config.model import DriftAnomaly
from aodasync.detection.detector import Context, Signal, View
from aodasync.detection.drift import DriftDetector
from aodasync.detection.engine import DETECTORS, Engine
from aodasync.events import EventArray
from tests.builders import (
    MS,
    SECOND,
    config,
    context,
    drift_anomaly,
    hang_anomaly,
    in_flight,
    latency_anomaly,
    request,
    view,
)


class Failing(DriftDetector):
    """Raises at the batches that a test says; ``made`` counts its lives."""

    made = 0
    at: frozenset[int] = frozenset()
    at_look = False

    def __init__(self, anomaly: DriftAnomaly, context: Context) -> None:
        super().__init__(anomaly, context)
        Failing.made += 1

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        if int(rows["released_ns"][0]) // SECOND in self.at:
            raise ZeroDivisionError("oops")
        return super().observe(rows)

    def look(self, view: View) -> Iterable[Signal]:
        if self.at_look:
            raise IndexError("at a look")
        return super().look(view)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    """The detector of drift anomalies, defective; at no batch yet."""
    monkeypatch.setattr(Failing, "made", 0)
    monkeypatch.setitem(DETECTORS, DriftAnomaly, Failing)
    return Failing


def _slow(second: int) -> EventArray:
    return request(released_ns=second * SECOND, latency_ns=20 * MS)


def test_its_neighbours_lose_no_row(
    failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drift comes first and fails at each batch; latency counts every one, hang is seen."""
    monkeypatch.setattr(failing, "at", frozenset(range(100)))
    monkeypatch.setattr(failing, "at_look", True)
    engine = Engine(config(drift_anomaly(), latency_anomaly(), hang_anomaly()), str)
    started = [s for _ in range(3) for s in engine.process(_slow(10), 10 * SECOND)]
    assert [s.finding.count for s in started] == [3]
    (hung,) = engine.look(view(16 * SECOND, in_flight(issued_ns=9 * SECOND)))
    assert hung.finding.anomaly == "hang"


def test_a_failure_is_reported_with_its_place(
    failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anomaly, detector, error, and the line that raised; once."""
    monkeypatch.setattr(failing, "at", frozenset({10}))
    engine = Engine(config(drift_anomaly(name="slowly")), str)
    engine.process(_slow(10), 10 * SECOND)
    (failure,) = engine.take_failures()
    assert (failure.anomaly, failure.detector) == ("slowly", "Failing")
    assert failure.error == "ZeroDivisionError: oops"
    assert failure.where.startswith("test_guard.py:")
    assert failure.where.endswith(" in observe")
    assert (failure.restarts, failure.given_up, failing.made) == (1, False, 2)
    assert engine.take_failures() == []
    entry = {"detector": "Failing", "restarts": 1, "given_up": False}
    assert engine.detectors() == {"slowly": entry}


def test_what_was_learnt_survives_one_failure_but_not_the_next(
    failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failing again within minutes, the state may be the reason: the fresh one starts empty."""
    learner = Failing(drift_anomaly(), context())
    learner._baseline.learn([("1", 8)], np.array([2.0]))
    learnt = {"drift": learner.export()}
    monkeypatch.setattr(failing, "at", frozenset({10, 20}))
    engine = Engine(config(drift_anomaly()), str)
    engine.restore(learnt)
    engine.process(_slow(10), 10 * SECOND)
    assert engine.export() == learnt
    engine.process(_slow(20), 20 * SECOND)
    assert engine.export()["drift"]["normals"] == []


def test_five_failures_in_ten_minutes_are_the_end(
    failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fifth gives it up: no more lives, and the others go on."""
    monkeypatch.setattr(failing, "at", frozenset(range(100)))
    engine = Engine(config(drift_anomaly(), latency_anomaly(acceptable_count=1)), str)
    for second in range(10, 20):
        engine.process(_slow(second), second * SECOND)
    assert [f.given_up for f in engine.take_failures()] == [False] * 4 + [True]
    assert failing.made == 5
    assert engine.detectors()["drift"]["given_up"]
    assert engine.export() == {}
    assert not engine.detectors()["latency"]["given_up"]


def test_failures_far_apart_are_no_end(
    failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in three minutes, all day: it is replaced each time."""
    monkeypatch.setattr(failing, "at", frozenset(range(100_000)))
    engine = Engine(config(drift_anomaly()), str)
    for second in range(0, 18_000, 180):
        engine.process(_slow(second + 1), (second + 1) * SECOND)
    assert not any(failure.given_up for failure in engine.take_failures())
    assert engine.detectors()["drift"]["restarts"] == 100


def test_open_episodes_outlive_their_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the engine's: the fresh detector's next firing continues the episode."""
    engine = Engine(config(latency_anomaly(acceptable_count=1)), str)
    (started,) = engine.process(_slow(10), 10 * SECOND)
    detector = engine._slots[0].detector

    def fail(_rows: EventArray) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(detector, "observe", fail)
    assert engine.process(_slow(11), 11 * SECOND) == []
    assert engine.process(_slow(12), 12 * SECOND) == []
    (ended,) = engine.tick(20 * SECOND)
    assert (ended.episode, ended.finding.count) == (started.episode, 2)
