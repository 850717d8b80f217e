# SPDX-License-Identifier: MIT
"""What is fuzzed still runs: a target that refuses its own seeds would find nothing."""

from __future__ import annotations

import time

import pytest

from tests.fuzz.targets import TARGETS, timed


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_a_target_takes_its_seeds(name: str) -> None:
    """The good ones, nothing at all, a part of one, and one with a byte changed."""
    target = TARGETS[name]
    for seed in target.seeds():
        half = len(seed) // 2
        for data in (seed, b"", seed[:half], seed[:half] + b"\xff" + seed[half + 1 :]):
            target.check(data)


def test_time_per_byte_is_bounded() -> None:
    """A check that takes its time is a finding."""

    def slow(_data: bytes) -> None:
        while time.process_time() < begun + 1.5:
            pass

    begun = time.process_time()
    with pytest.raises(AssertionError, match=r"1 bytes took 1\.\d s"):
        timed(slow, b"x")
