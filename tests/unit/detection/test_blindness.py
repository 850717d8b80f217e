# SPDX-License-Identifier: MIT
"""A probe that records too little is found out; a healthy one is left alone."""

from __future__ import annotations

from aodasync.detection.blindness import Blindness, Comparison
from aodasync.smb.client_stats import ClientTotals


def _released(count: int) -> ClientTotals:
    return ClientTotals(count, {})


def _looked_once(recorded: int = 0) -> Blindness:
    blindness = Blindness()
    assert blindness.look(_released(1000), recorded, recorded) is None
    return blindness


def test_a_probe_that_records_nothing_is_blind() -> None:
    """The client sent 452 requests, none was recorded."""
    blindness = _looked_once()
    assert blindness.look(_released(1452), 0, 0) == Comparison(blind=True, counted=452, recorded=0)
    assert blindness.blind


def test_a_probe_that_records_half_is_blind() -> None:
    """Half of the requests is too little, nine tenths are not."""
    blindness = _looked_once()
    assert blindness.look(_released(1452), 226, 226) == Comparison(
        blind=True, counted=452, recorded=226
    )
    assert blindness.look(_released(2452), 1126, 1126) == Comparison(
        blind=False, counted=1000, recorded=900
    )


def test_a_burst_while_the_totals_are_read_is_no_blindness() -> None:
    """What arrives between the client's count and the recorder's serves both comparisons."""
    blindness = Blindness()
    blindness.look(_released(1000), 0, 500)  # 500 released before, recorded after the reading
    sight = blindness.look(_released(1100), 600, 600)  # all 600, of which 100 counted by now
    assert sight == Comparison(blind=False, counted=100, recorded=600)
    sight = blindness.look(_released(2100), 600, 1600)
    assert sight == Comparison(blind=False, counted=1000, recorded=1000)


def test_few_requests_prove_nothing_but_add_up() -> None:
    """Thirty unseen requests are not reported; the next thirty make sixty."""
    blindness = _looked_once()
    assert blindness.look(_released(1030), 0, 0) is None
    assert blindness.look(_released(1060), 0, 0) == Comparison(blind=True, counted=60, recorded=0)


def test_a_closed_connection_proves_nothing() -> None:
    """Totals that fell are where the next comparison begins."""
    blindness = _looked_once()
    assert blindness.look(_released(70), 20, 20) is None
    assert blindness.look(_released(170), 120, 120) == Comparison(
        blind=False, counted=100, recorded=100
    )


def test_sight_comes_back() -> None:
    """Once enough is recorded again, blindness ends; few requests do not end it."""
    blindness = _looked_once()
    blindness.look(_released(1100), 0, 0)
    assert blindness.blind
    blindness.look(_released(1140), 40, 40)
    assert blindness.blind
    blindness.look(_released(1200), 100, 100)
    assert not blindness.blind
