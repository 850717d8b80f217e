# SPDX-License-Identifier: MIT
"""``samples.json`` keeps what a verdict compares, and believes no stranger."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aodasync.bundle.samples_file import MAX_SAMPLES_BYTES, decode, encode
from aodasync.evidence.model import Sample
from tests.builders import tcp_socket

_SOCKET = tcp_socket(rtt_ms=0.5, retransmits=1, unacked=2, quiet_ms=12)


def _sample(at_ns: int, sockets: int = 1) -> Sample:
    return Sample(at_ns, (_SOCKET,) * sockets, {"cpu": 5, "io": 6})


def test_what_is_written_is_read() -> None:
    """Every figure of every socket, the pressure, and the reason why there are no sockets."""
    samples = (_sample(1), Sample(2, (), {}, "no inet_diag"), _sample(3, 2))
    assert decode(encode(samples)) == samples
    assert decode(encode(())) == ()


def test_a_figure_that_an_older_agent_did_not_take_has_its_default() -> None:
    """Bundles of before are replayed as well; what every agent took must be there."""
    (good,) = json.loads(encode([_sample(1)]))
    for name in ("duplicates", "netns", "unsent_bytes"):
        del good["sockets"][0][name]
    assert decode(json.dumps([good]).encode()) == (_sample(1),)
    del good["sockets"][0]["rtt_ms"]
    assert decode(json.dumps([good]).encode()) == ()


def test_the_newest_samples_fit() -> None:
    """A host of many mounts loses the oldest ones, never the file."""
    many = tuple(_sample(n, 200) for n in range(300))
    data = encode(many)
    assert len(data) <= MAX_SAMPLES_BYTES
    kept = decode(data)
    assert kept == many[-len(kept) :]
    assert len(kept) > 50


@pytest.mark.parametrize(
    "broken",
    [
        {"sockets": "x"},
        {"sockets": [{}]},
        {"stalled_us": 3},
        {"monotonic_ns": None},
        {"sockets": [{**json.loads(encode([_sample(1)]))[0]["sockets"][0], "port": "445"}]},
    ],
)
def test_a_sample_that_is_not_ours_is_left_out(broken: dict[str, object]) -> None:
    """Its neighbours are read."""
    good = json.loads(encode([replace(_sample(1), error="e")]))[0]
    data = json.dumps([{**good, **broken}, 7, good]).encode()
    assert decode(data) == (replace(_sample(1), error="e"),)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    """As a ValueError, whatever it is."""
    with pytest.raises(ValueError, match=r"."):
        decode(data)
