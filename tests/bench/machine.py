# SPDX-License-Identifier: MIT
"""How fast this machine is at what the other figures are made of: to compare hosts by."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from tests.bench.figures import Figure
from tests.bench.rigging import Bench

__all__ = ["ADDITIONS", "WAKE_UP", "measure"]

ADDITIONS = "the machine: a million additions in Python"
WAKE_UP = "the machine: how late a sleeper wakes, median"

_TIMES = 9
_SLEEPS = 200
_PAUSE_SEC = 0.002


def measure(_bench: Bench) -> Iterator[Figure]:
    """Yield the figures: they have no bounds."""
    loops = [_took_sec(_add) for _ in range(_TIMES)]
    yield Figure(ADDITIONS, 1e3 * min(loops), "ms", note=f"median {_median_ms(loops):.1f}")
    late = [_took_sec(lambda: time.sleep(_PAUSE_SEC)) - _PAUSE_SEC for _ in range(_SLEEPS)]
    yield Figure(WAKE_UP, _median_ms(late), "ms")


def _add() -> None:
    total = 0
    for number in range(1_000_000):
        total += number


def _took_sec(step: Callable[[], None]) -> float:
    begun_sec = time.perf_counter()
    step()
    return time.perf_counter() - begun_sec


def _median_ms(spans_sec: list[float]) -> float:
    return 1e3 * statistics.median(spans_sec)
