# SPDX-License-Identifier: MIT
"""Episodes: one bundle at the start, one at the end if it lasted, whatever the sequence."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.episodes import Ended, Episodes, Started
from aodasync.detection.windows import Firing
from aodasync.evidence import Finding
from tests.unit.builders import SECOND

_HOUR = 3600 * SECOND


def _firing(now_ns: int, *, server: str = "nas", anomaly: str = "latency") -> Firing:
    finding = Finding(
        anomaly=anomaly,
        type=anomaly,
        server=server,
        commands=(),
        codes=(),
        count=1,
        acceptable_count=1,
        threshold_ms=10.0,
        max_latency_ms=now_ns / SECOND,
        first_ns=now_ns,
        last_ns=now_ns,
        emergency=False,
    )
    return Firing(now_ns // SECOND, first=True, added=1, finding=finding)


def _episodes(*, cooldown_sec: int = 60, budget: int = 20) -> Episodes:
    cooldown_ns = {"latency": cooldown_sec * SECOND, "error": cooldown_sec * SECOND}
    return Episodes(interval_ns=SECOND, cooldown_ns=cooldown_ns, max_bundles_per_hour=budget)


def _episode(episodes: Episodes, begin_sec: int, end_sec: int) -> tuple[Started, Ended]:
    """One that fires in each of these seconds, and then no more."""
    started = None
    for second in range(begin_sec, end_sec):
        started = episodes.observe(_firing(second * SECOND), second * SECOND) or started
        assert episodes.tick(second * SECOND) == []
    (ended,) = episodes.tick((end_sec + 3) * SECOND)
    assert started is not None
    return started, ended


def test_an_episode_that_lasted_gets_a_second_bundle_at_its_end() -> None:
    """The bundle's finding sums the episode up: its beginning, its count, its worst latency."""
    started, ended = _episode(_episodes(), 100, 200)
    assert (started.suppressed, ended.suppressed) == ("", "")
    finding = ended.finding
    assert (finding.count, finding.max_latency_ms) == (100, 199.0)
    assert (finding.first_ns, finding.last_ns) == (100 * SECOND, 199 * SECOND)
    assert (ended.windows, ended.duration_ms) == (100, 100_000.0)


def test_a_short_one_gets_none_and_nothing_is_suppressed() -> None:
    """Thirty seconds are short; half a second more is not."""
    episodes = _episodes(cooldown_sec=0)
    assert _episode(episodes, 100, 130)[1].suppressed is None
    assert episodes.suppressed == 0
    assert _episode(episodes, 200, 231)[1].suppressed == ""


def test_the_end_obeys_the_cooldown() -> None:
    """Over after 40 of 60 s of cool-down: the second bundle is held back, and counted."""
    episodes = _episodes()
    assert _episode(episodes, 100, 140)[1].suppressed == "cooldown"
    assert episodes.suppressed == 1


def test_the_end_counts_for_the_budget() -> None:
    """Two bundles of one episode leave none of a budget of two."""
    episodes = _episodes(cooldown_sec=0, budget=2)
    _episode(episodes, 100, 200)
    started, ended = _episode(episodes, 300, 400)
    assert (started.suppressed, ended.suppressed) == ("hourly budget", "hourly budget")


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 4, 5, 20, 40, 100, 1000, 3601]),  # seconds since the last one
        st.sampled_from(["a", "b"]),
        st.sampled_from(["latency", "error"]),
        st.booleans(),  # whether it fires, or time just passes
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=_STEPS, cooldown_sec=st.sampled_from([0, 3, 60, 600]), budget=st.integers(1, 4))
def test_any_sequence_obeys_cooldown_and_budget(
    steps: list[tuple[int, str, str, bool]], cooldown_sec: int, budget: int
) -> None:
    """Starts and ends alternate; no bundle breaks a limit; what is held back is counted."""
    episodes = _episodes(cooldown_sec=cooldown_sec, budget=budget)
    now_ns = 10 * SECOND
    bundles: list[tuple[int, tuple[str, str]]] = []
    open_: set[tuple[str, str]] = set()
    held_back = 0
    per_episode: Counter[int] = Counter()

    def note(event: Started | Ended, key: tuple[str, str]) -> None:
        nonlocal held_back
        if event.suppressed == "":
            bundles.append((now_ns, key))
            per_episode[event.episode] += 1
        elif event.suppressed is not None:
            held_back += 1

    for seconds, server, anomaly, fires in steps:
        now_ns += seconds * SECOND
        for ended in episodes.tick(now_ns):
            key = (ended.finding.anomaly, ended.finding.server)
            open_.remove(key)
            note(ended, key)
        if fires:
            key = (anomaly, server)
            started = episodes.observe(_firing(now_ns, server=server, anomaly=anomaly), now_ns)
            assert (started is None) == (key in open_)
            if started is not None:
                open_.add(key)
                note(started, key)
    assert episodes.open_count == len(open_)
    assert episodes.suppressed == held_back
    assert all(count <= 2 for count in per_episode.values())
    times = [at for at, _ in bundles]
    for first, last in zip(times, times[budget:], strict=False):
        assert last - first >= _HOUR
    for key in {key for _, key in bundles}:
        own = [at for at, of in bundles if of == key]
        assert all(b - a >= cooldown_sec * SECOND for a, b in pairwise(own))
