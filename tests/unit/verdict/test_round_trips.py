# SPDX-License-Identifier: MIT
"""How long the way to the server is: at the end of an episode, and where it always is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray
from aodasync.evidence.model import Connection, Sample
from aodasync.verdict.figures import figures_of
from aodasync.verdict.judge import Verdict, decide
from tests.builders import MS, SECOND, finding, request, requests, tcp_socket

_NAS = {1: Connection(1, "nas", "10.0.0.1", 445)}
_AT = 1000 * SECOND


def _answers(begin_sec: int, end_sec: int, ms: float) -> list[EventArray]:
    """Ten a second that take ``ms`` on the wire, from one second to another after the beginning."""
    return [
        request(
            released_ns=_AT + n * 100 * MS,
            latency_ns=round(ms * MS),
            received_ns=_AT + n * 100 * MS,
        )
        for n in range(begin_sec * 10, end_sec * 10)
    ]


def _samples(*parts: tuple[int, int, float]) -> list[Sample]:
    """One a second, of round trips in ms from a second to another after the beginning."""
    return [
        Sample(_AT + n * SECOND, (tcp_socket(rtt_ms=ms),), {})
        for begin, end, ms in parts
        for n in range(begin, end)
    ]


def _judged(rows: Sequence[EventArray], samples: Sequence[Sample], end_sec: int) -> Verdict:
    slow = finding(threshold_ms=100.0, max_latency_ms=240.0, first_ns=_AT, last_ns=_AT + SECOND)
    figures = figures_of(
        slow,
        rows=requests(*rows),
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        samples=samples,
        later=None,
        now_ns=_AT + end_sec * SECOND,
    )
    return decide(figures)


def test_the_round_trip_of_an_episode_that_is_over_is_the_one_it_had() -> None:
    """A minute of 230 ms, and the verdict of its end, when a round trip takes 1.2 ms again."""
    rows = [*_answers(-10, 0, 3), *_answers(1, 60, 236), *_answers(60, 65, 3)]
    samples = _samples((-10, 0, 1.2), (1, 60, 230.0), (60, 65, 1.2))
    verdict = _judged(rows, samples, 65)
    assert (verdict.cause, verdict.rule) == ("network", "long round trips")
    assert "230.0 ms, 1.2 ms before" in verdict.sentence


@pytest.mark.parametrize("usual_ms", [None, 119.0])
def test_a_server_that_is_far_away_is_not_slow(usual_ms: float | None) -> None:
    """Each answer takes a round trip, which is long as ever, or was not seen before."""
    before = [] if usual_ms is None else _samples((-10, 0, usual_ms))
    rows = [*_answers(-10, 0, 125), *_answers(1, 5, 126)]
    verdict = _judged(rows, [*before, *_samples((1, 5, 122.0))], 5)
    assert (verdict.cause, verdict.confidence) == ("network", "medium")
    assert verdict.rule == "long way to the server"
    assert f"before: {'not known' if usual_ms is None else '119.0 ms'}" in verdict.sentence


def test_what_was_sampled_within_an_episode_is_not_what_was_usual() -> None:
    """Of a long one nothing is left from before it: a long round trip explains it all the same."""
    rows, samples = _answers(300, 900, 236), _samples((300, 900, 230.0))
    verdict = _judged(rows, samples, 900)
    assert verdict.cause == "network"
    assert verdict.evidence.get("tcp_usual_rtt_ms") is None


@pytest.mark.parametrize(("rtt_ms", "confidence"), [(0.5, "high"), (90.0, "medium")])
def test_an_unknown_usual_round_trip_matters_if_it_may_explain_something(
    rtt_ms: float, confidence: str
) -> None:
    """Half a millisecond of 280 does not; 90 may be a rise that explains a third."""
    verdict = _judged(_answers(1, 60, 280), _samples((1, 60, rtt_ms)), 60)
    assert (verdict.cause, verdict.confidence) == ("server", confidence)


def test_a_delayed_acknowledgement_is_no_long_way() -> None:
    """A slow response looks like a round trip of up to 40 ms."""
    rows, samples = _answers(-10, 0, 3), _samples((-10, 0, 0.6), (1, 5, 41.0))
    verdict = _judged([*rows, *_answers(1, 5, 130)], samples, 5)
    assert verdict.cause == "server"
