# SPDX-License-Identifier: MIT
"""A server that leaves its own band is noticed; one that stays in it never is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.baseline import MAX_LEARNT, Baseline
from aodasync.detection.drift import SLOT_NS, DriftDetector
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Ended, Started
from aodasync.events import EVENT, EventArray, Flag
from tests.builders import MS, SECOND, config, drift_anomaly, view

_LEARNT_SEC = 310


class World:
    """An engine and a clock; makes traffic, and keeps what is reported."""

    def __init__(self, seed: int = 1) -> None:
        self.engine = Engine(config(drift_anomaly()), lambda number: f"server{number}")
        self.chance = np.random.default_rng(seed)
        self.now_sec = 1000
        self.started: list[Started] = []
        self.ended: list[Ended] = []

    def run(
        self, seconds: int, *servers: float, per_sec: int = 20, command: int = 8, flags: int = 0
    ) -> None:
        """Seconds of traffic; each server with its own median latency in ms."""
        for _ in range(seconds):
            for number, median_ms in enumerate(servers, 1):
                self.engine.process(
                    self._second(median_ms, per_sec, command, number, flags), self.now_sec * SECOND
                )
            self.now_sec += 1
            now_ns = self.now_sec * SECOND
            self.started += self.engine.look(view(now_ns))
            self.ended += self.engine.tick(now_ns)

    def _second(
        self, median_ms: float, count: int, command: int, number: int, flags: int
    ) -> EventArray:
        rows = np.zeros(count, EVENT)
        latency_ms = median_ms * self.chance.lognormal(0, 0.5, count)
        rows["released_ns"] = self.now_sec * SECOND + np.arange(count) * (SECOND // count)
        rows["issued_ns"] = rows["released_ns"] - (latency_ms * MS).astype(np.uint64)
        rows["command"], rows["connection_id"], rows["flags"] = command, number, flags
        return rows


def test_from_2_to_12_ms_is_drift() -> None:
    """No threshold is crossed, but it is not what it was; reported within 45 s."""
    world = World()
    world.run(_LEARNT_SEC + 300, 2.0)
    assert world.started == []
    world.run(45, 12.0)
    (started,) = world.started
    finding = started.finding
    assert (finding.type, finding.server, finding.commands) == ("drift", "server1", ("SMB2_READ",))
    assert finding.figures["usual_ms"] == pytest.approx(2.0, rel=0.2)
    assert finding.figures["recent_ms"] == pytest.approx(12.0, rel=0.2)
    assert finding.figures["usual_ms"] < finding.threshold_ms < finding.figures["recent_ms"]
    assert 0 <= finding.crossed_ns <= world.now_sec * SECOND


def test_the_episode_lasts_until_it_is_back_in_band() -> None:
    """One episode, however long it drifts; over when the latency is what it was."""
    world = World()
    world.run(_LEARNT_SEC, 2.0)
    world.run(600, 12.0)
    assert (len(world.started), world.ended) == (1, [])
    world.run(20, 2.0)
    assert len(world.ended) == 1


def test_what_is_wrong_does_not_become_normal_at_once() -> None:
    """After an hour out of band, the band is where it was."""
    world = World()
    world.run(_LEARNT_SEC, 2.0)
    world.run(3600, 12.0)
    assert len(world.started) == 1
    assert world.ended == []


def test_nothing_is_reported_before_it_has_learnt() -> None:
    """Four minutes of traffic are no normal to hold anything against."""
    world = World()
    world.run(240, 2.0)
    world.run(60, 12.0)
    assert world.started == []


def test_half_a_minute_out_of_band_is_not_long_enough() -> None:
    """A burst of 20 s is for thresholds to judge."""
    world = World()
    world.run(_LEARNT_SEC, 2.0)
    world.run(20, 12.0)
    world.run(60, 2.0)
    assert world.started == []


def test_a_rise_of_less_than_2_ms_is_none() -> None:
    """From 0.2 to 1 ms is five times as long, and no user notices."""
    world = World()
    world.run(_LEARNT_SEC, 0.2)
    world.run(120, 1.0)
    assert world.started == []


def test_each_server_has_its_own_normal() -> None:
    """12 ms are drift where 2 are usual, and nothing where 12 are."""
    world = World()
    world.run(_LEARNT_SEC, 2.0, 12.0)
    world.run(60, 12.0, 12.0)
    assert [s.finding.server for s in world.started] == ["server1"]


def test_a_drift_ends_when_there_is_no_traffic_to_judge_by() -> None:
    """Silence is no drift."""
    world = World()
    world.run(_LEARNT_SEC, 2.0)
    world.run(60, 12.0)
    world.run(60)
    assert len(world.ended) == 1


@pytest.mark.parametrize(("command", "flags"), [(10, 0), (15, 0), (5, int(Flag.ASYNC_RESPONSE))])
def test_what_may_wait_has_no_normal(command: int, flags: int) -> None:
    """LOCK, CHANGE_NOTIFY and what got an interim response take as long as they take."""
    world = World()
    world.run(_LEARNT_SEC, 2.0, command=command, flags=flags)
    world.run(60, 500.0, command=command, flags=flags)
    assert world.started == []


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), median_ms=st.floats(0.1, 500), per_sec=st.integers(2, 40))
def test_a_steady_server_is_never_an_alarm(seed: int, median_ms: float, per_sec: int) -> None:
    """Whatever its latency and its load, an hour of the same is silence."""
    world = World(seed)
    world.run(1500, median_ms, per_sec=per_sec)
    assert world.started == []


def test_a_disk_that_gets_slow_is_drift_though_every_write_is_announced_as_pending() -> None:
    """An interim response to a WRITE says nothing: Samba sends one after half a millisecond."""
    world = World()
    world.run(_LEARNT_SEC, 2.0, command=9)
    world.run(45, 12.0, command=9, flags=int(Flag.ASYNC_RESPONSE))
    assert len(world.started) == 1


def test_what_was_learnt_survives_a_restart() -> None:
    """Through JSON and back: a fresh engine knows at once what is normal."""
    world = World()
    world.run(_LEARNT_SEC, 2.0)
    saved = json.loads(json.dumps(world.engine.export()))
    later = World()
    later.engine.restore(saved)
    assert later.engine.export() == saved
    later.run(45, 12.0)
    assert len(later.started) == 1


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {},
        {"version": 2, "normals": []},
        {"version": 1, "normals": None},
        {"version": 1, "normals": [{}]},
        {"version": 1, "normals": [{"server": "a", "command": "x", "learnt": 1, "log_ms": [0]}]},
        {"version": 1, "normals": [{"server": "a", "command": 1, "learnt": 1, "log_ms": [0, 1]}]},
        {
            "version": 1,
            "normals": [{"server": "a", "command": 1, "learnt": 1, "log_ms": [0, float("nan"), 1]}],
        },
    ],
)
def test_a_corrupt_state_is_refused_and_changes_nothing(state: object) -> None:
    """ValueError, and what was known before is known still."""
    baseline = Baseline()
    baseline.learn([("nas", 8)], np.array([2.0]))
    before = baseline.export()
    with pytest.raises(ValueError, match="not a "):
        baseline.restore(state)
    assert baseline.export() == before


def test_memory_is_bounded_and_the_longest_unused_goes() -> None:
    """One pair more than there is room for displaces the eldest, not one that is in use."""
    baseline = Baseline()
    for number in range(MAX_LEARNT):
        baseline.learn([(f"server{number}", 8)], np.array([2.0]))
    baseline.learn([("server0", 8)], np.array([2.0]))
    baseline.learn([("new", 8)], np.array([2.0]))
    assert len(baseline) == MAX_LEARNT
    known = {entry["server"] for entry in baseline.export()["normals"]}
    assert {"server0", "new"} <= known
    assert "server1" not in known


def test_a_slot_is_sampled_when_there_is_too_much() -> None:
    """A hundred thousand requests in a slot cost no more than some thousands."""
    world = World()
    for _ in range(40):
        world.run(1, 2.0, per_sec=20_000)
    watch = world.engine._slots[0].detector
    assert isinstance(watch, DriftDetector)
    held = [part.shape[1] for parts in watch._slots.values() for part in parts]
    assert sum(held) <= 2 * 512 * (SLOT_NS // SECOND)
    assert len(world.engine.export()["drift"]["normals"]) == 1
