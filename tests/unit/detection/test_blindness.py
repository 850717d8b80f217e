# SPDX-License-Identifier: MIT
"""A probe that records too little is found out; a healthy one is left alone."""

from __future__ import annotations

from aodasync.detection.blindness import Blindness, Sight


def test_a_probe_that_records_nothing_is_blind() -> None:
    """The client sent 452 requests, none was recorded."""
    blindness = Blindness()
    assert blindness.look({"share": 1000}, 0) is None
    assert blindness.look({"share": 1452}, 0) == Sight(blind=True, counted=452, recorded=0)
    assert blindness.blind


def test_a_healthy_probe_records_more_than_the_client_counts() -> None:
    """ECHO and NEGOTIATE are recorded though the totals leave them out."""
    blindness = Blindness()
    blindness.look({"share": 0}, 0)
    sight = blindness.look({"share": 100}, 130)
    assert sight == Sight(blind=False, counted=100, recorded=130)


def test_few_requests_prove_nothing_but_add_up() -> None:
    """Thirty unseen requests are not told; the next thirty make sixty."""
    blindness = Blindness()
    blindness.look({"share": 0}, 0)
    assert blindness.look({"share": 30}, 0) is None
    assert blindness.look({"share": 60}, 0) == Sight(blind=True, counted=60, recorded=0)


def test_a_share_mounted_again_counts_from_zero() -> None:
    """Totals that fell are a new mount, not a negative number of requests."""
    blindness = Blindness()
    blindness.look({"a": 5000, "b": 10}, 0)
    sight = blindness.look({"a": 70, "c": 40}, 120)
    assert sight == Sight(blind=False, counted=110, recorded=120)


def test_sight_comes_back() -> None:
    """After a restart of the probe the count begins anew and blindness ends."""
    blindness = Blindness()
    blindness.look({"share": 0}, 0)
    blindness.look({"share": 100}, 0)
    assert blindness.blind
    blindness.look({"share": 200}, 100)
    assert not blindness.blind
