# SPDX-License-Identifier: MIT
"""Episodes: one bundle at the start, one at the end if it lasted, whatever the sequence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.detector import Firing
from aodasync.detection.episodes import Ended, Episodes, Escalated, IdleAgain, Started
from tests.builders import SECOND
from tests.builders import finding as made_finding

_HOUR = 3600 * SECOND


def _firing(now_ns: int, *, server: str = "nas", anomaly: str = "latency") -> Firing:
    finding = made_finding(
        anomaly,
        server=server,
        connections=(ord(server[0]),),
        count=1,
        max_latency_ms=now_ns / SECOND,
        first_ns=now_ns,
        last_ns=now_ns,
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


def test_a_failover_changes_the_name_and_not_the_episode() -> None:
    """The connection is the same, so the episode goes on, and the cool-down holds for it."""
    episodes = _episodes()
    first = _firing(100 * SECOND)
    assert episodes.observe(first, 100 * SECOND) is not None
    moved = replace(first, finding=replace(first.finding, server="nas2"), window=101)
    assert episodes.observe(moved, 101 * SECOND) is None
    (ended,) = episodes.tick(110 * SECOND)
    assert (ended.finding.server, ended.windows) == ("nas2", 2)
    again = episodes.observe(replace(moved, window=120), 120 * SECOND)
    assert again is not None
    assert again.suppressed == "cooldown"


def test_a_connection_without_a_name_joins_its_server() -> None:
    """First it was called by its number, then by its server's name."""
    episodes = _episodes()
    first = _firing(100 * SECOND)
    nameless = replace(first, finding=replace(first.finding, server="connection 7"))
    assert episodes.observe(nameless, 100 * SECOND) is not None
    assert episodes.observe(first, 100 * SECOND) is None
    assert episodes.open_count == 1


def test_open_episodes_are_bounded_and_what_is_beyond_is_counted() -> None:
    """However many servers fire at once; when some have ended there is room again."""
    episodes = _episodes(budget=1)
    for number in range(20_000):
        firing = _firing(100 * SECOND, server=f"server{number}")
        finding = replace(firing.finding, connections=(number,))
        episodes.observe(replace(firing, finding=finding), 100 * SECOND)
    assert (episodes.open_count, episodes.not_opened) == (1024, 20_000 - 1024)
    assert len(episodes.tick(200 * SECOND)) == 1024
    assert episodes._places == {}
    assert episodes.observe(_firing(300 * SECOND), 300 * SECOND) is not None


def test_an_emergency_within_an_episode_is_said_once_more() -> None:
    """It began by count; its end, and what is open, say that it became an emergency."""
    episodes = _episodes()
    for second in range(100, 110):
        firing = _firing(second * SECOND)
        if second in (104, 105):
            firing = replace(firing, finding=replace(firing.finding, emergency=True))
        episodes.observe(firing, second * SECOND)
    (note,) = episodes.take_notes()
    assert isinstance(note, Escalated)
    assert (note.episode, note.finding.first_ns) == (1, 104 * SECOND)
    assert episodes.take_notes() == []
    assert episodes.open_findings()[0].emergency
    (ended,) = episodes.tick(120 * SECOND)
    assert ended.finding.emergency


def test_an_episode_that_began_as_an_emergency_does_not_become_one() -> None:
    """Its first line said so."""
    episodes = _episodes()
    firing = _firing(100 * SECOND)
    urgent = replace(firing, finding=replace(firing.finding, emergency=True))
    episodes.observe(urgent, 100 * SECOND)
    episodes.observe(urgent, 101 * SECOND)
    assert episodes.take_notes() == []


def _idle(now_ns: int, server: str = "nas") -> Firing:
    firing = _firing(now_ns, server=server, anomaly="connection")
    return replace(firing, finding=replace(firing.finding, idle=True, codes=("RECONNECT",)))


def test_idle_reconnects_are_one_episode_and_one_note() -> None:
    """A server drops idle connections every 65 s for 40 minutes; another one hangs then."""
    episodes = _episodes()
    started = []
    for second in range(100, 2500, 65):
        started.append(episodes.observe(_idle(second * SECOND), second * SECOND))
        episodes.tick((second + 10) * SECOND)
    assert len([s for s in started if s is not None]) == 1
    assert [type(note) for note in episodes.take_notes()] == [IdleAgain]
    assert episodes.idle_reconnects == len(started) - 1
    hang = episodes.observe(_firing(2500 * SECOND, server="other", anomaly="hang"), 2500 * SECOND)
    assert hang is not None
    assert hang.suppressed == ""


def test_an_idle_reconnect_that_cost_a_request_is_an_episode_after_all() -> None:
    """The request that it cut off was seen a moment later."""
    episodes = _episodes()
    for second in (100, 200):
        episodes.observe(_idle(second * SECOND), second * SECOND)
        episodes.tick((second + 10) * SECOND)
    assert episodes.open_count == 0
    (connection,) = _idle(0).finding.connections
    late = episodes.cut_off("connection", (connection,), 210 * SECOND)
    assert late is not None
    assert not late.finding.idle
    assert episodes.cut_off("connection", (connection,), 211 * SECOND) is None
    assert episodes.open_findings()[0].count == 1


def test_a_reconnect_that_cost_a_request_is_no_idle_one() -> None:
    """Where it is seen before the request that it cut off has ended: no note, and not counted."""
    episodes = _episodes()
    episodes.observe(_idle(100 * SECOND), 100 * SECOND)
    episodes.tick(110 * SECOND)
    episodes.observe(_idle(200 * SECOND), 200 * SECOND)
    episodes.tick(200 * SECOND)
    (connection,) = _idle(0).finding.connections
    assert episodes.cut_off("connection", (connection,), 200 * SECOND) is not None
    episodes.tick(220 * SECOND)
    assert episodes.take_notes() == []
    assert episodes.idle_reconnects == 0
    episodes.observe(_idle(300 * SECOND), 300 * SECOND)
    episodes.tick(301 * SECOND)
    assert [type(note) for note in episodes.take_notes()] == [IdleAgain]


def _bundles_of(episodes: Episodes, *servers: str, anomaly: str = "latency") -> list[str]:
    """One short episode on each of these servers in turn, a minute apart."""
    reasons = []
    for number, server in enumerate(servers):
        now_ns = (100 + 70 * number) * SECOND
        started = episodes.observe(_firing(now_ns, server=server, anomaly=anomaly), now_ns)
        assert started is not None
        reasons.append(started.suppressed)
        episodes.tick(now_ns + 10 * SECOND)
    return reasons


def test_one_server_does_not_spend_the_budget_of_all() -> None:
    """One anomaly on it has half; the others have what is left, a hang the last quarter, too."""
    episodes = _episodes(cooldown_sec=0)
    assert _bundles_of(episodes, *["a"] * 30).count("") == 10
    assert _bundles_of(episodes, *["b"] * 8).count("") == 5
    assert _bundles_of(episodes, *"cde") == ["hourly budget"] * 3
    assert _bundles_of(episodes, *"cdefgh", anomaly="hang") == [""] * 5 + ["hourly budget"]


def test_lost_data_may_have_the_last_quarter() -> None:
    """As a hang."""
    episodes = _episodes(cooldown_sec=0, budget=4)
    assert _bundles_of(episodes, *"abcd") == ["", "", "", "hourly budget"]
    firing = _firing(400 * SECOND, server="e", anomaly="connection")
    lost = replace(firing, finding=replace(firing.finding, codes=("FLUSH_ERROR",)))
    started = episodes.observe(lost, 400 * SECOND)
    assert started is not None
    assert started.suppressed == ""
