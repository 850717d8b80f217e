# SPDX-License-Identifier: MIT
"""Many events through the real ring: none may be unaccounted for, and memory may not grow.

``python -m tests.bench.soak [EVENTS]`` (default: 1e9), as root. A thread offers records from
a BPF program through our submit path; this one reads them into a flight recorder. Each
record carries its number, so each gap must be exactly what the kernel counted as lost.

:func:`measure` is a section of the bench: five millions a second, for half a minute.
"""

from __future__ import annotations

import gc
import math
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aodasync.evidence.recorder import FlightRecorder
from tests.bench.figures import Figure
from tests.bench.rigging import Bench, open_bench
from tests.kernel.flood import Flood, compile_flood
from tests.kernel.rig import Rig

GROWTH_BYTES: Final = 2 << 20
_RUN: Final = 20_000
_BATCH: Final = 16_384
_SETTLED: Final = 0.02  # share of the events after which memory is taken for settled
_PER_SEC: Final = 5_000_000
_SPAN_SEC: Final = 30


def private_dirty_bytes() -> int:
    """What this process alone keeps of the host's memory (smaps_rollup)."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.findall(r"Private_Dirty:\s+(\d+) kB", text)[0]) * 1024


@dataclass(frozen=True, slots=True)
class Soaked:
    """What became of the events ``offered``.

    ``gaps`` are numbers that are missing among those of the consumed ones, and ``lost`` what
    the kernel counted. ``offered_sec`` is how long they were offered, ``elapsed_sec`` until the
    last one was read.
    """

    offered: int
    consumed: int
    lost: int
    gaps: int
    offered_sec: float
    elapsed_sec: float
    grown_bytes: int

    @property
    def unaccounted(self) -> int:
        """Events, or losses, of which the one side knows and the other does not."""
        return abs(self.offered - self.consumed - self.lost) + abs(self.gaps - self.lost)


def soak(rig: Rig, events: int, per_sec: float = math.inf) -> Soaked:
    """Offer so many, at most so many a second, and read them. Raises ValueError: out of order."""
    flood = Flood(compile_flood(urgent=False), rig.maps)
    recorder = FlightRecorder(50_000)
    ended_sec: list[float] = []
    begun_sec = time.monotonic()

    def offer() -> None:
        for number in range(events // _RUN):
            ahead_sec = begun_sec + number * _RUN / per_sec - time.monotonic()
            if ahead_sec > 0:
                time.sleep(ahead_sec)
            flood.run(_RUN)
        ended_sec.append(time.monotonic())

    producer = threading.Thread(target=offer, name="producer")
    offered = events // _RUN * _RUN
    consumed = expected = gaps = settled_bytes = 0
    producer.start()
    while True:
        ended = bool(ended_sec)
        rows, _ = recorder.fill(rig.probe.read_into, _BATCH)
        if len(rows) == 0:
            if ended:
                break
            time.sleep(0.0002)
            continue
        numbers = rows["message_id"].astype(np.int64)
        gaps += int(numbers[-1]) - expected - (len(rows) - 1)
        expected = int(numbers[-1]) + 1
        if not (np.diff(numbers) > 0).all():
            raise ValueError("records out of order")
        consumed += len(rows)
        recorder.release(len(rows))
        if not settled_bytes and consumed > _SETTLED * offered:
            gc.collect()
            settled_bytes = private_dirty_bytes()
    producer.join()
    elapsed_sec = time.monotonic() - begun_sec
    flood.close()
    return Soaked(
        offered=offered,
        consumed=consumed,
        lost=rig.probe.losses()["ring_full"],
        gaps=gaps + offered - expected,
        offered_sec=ended_sec[0] - begun_sec,
        elapsed_sec=elapsed_sec,
        grown_bytes=private_dirty_bytes() - settled_bytes,
    )


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    with bench.rig() as rig:
        done = soak(rig, _PER_SEC * _SPAN_SEC, _PER_SEC)
    note = f"{done.consumed:,} consumed in {done.elapsed_sec:.1f} s"
    late = done.elapsed_sec / _SPAN_SEC - 1
    yield Figure("time beyond 30 s for 150 million events", 100 * late, "%", 2, note)
    yield Figure("events lost at 5 million a second", done.lost, "", 0)
    yield Figure("events neither consumed nor counted as lost", done.unaccounted, "", 0)


def main() -> int:
    """Run it on the number of events that was asked for."""
    events = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000_000
    with open_bench() as bench, bench.rig() as rig:
        done = soak(rig, events)
    print(
        f"offered {done.offered:,}, consumed {done.consumed:,}, lost {done.lost:,}"
        f" ({done.lost / done.offered:.2%}), unaccounted {done.unaccounted:,}; gaps in the"
        f" numbers {done.gaps:,}\n{done.elapsed_sec:.0f} s,"
        f" {done.consumed / done.elapsed_sec / 1e6:.2f} M/s consumed of"
        f" {done.offered / done.offered_sec / 1e6:.2f} M/s offered; private dirty memory grew by"
        f" {done.grown_bytes / 1024:.0f} KiB (bound {GROWTH_BYTES / 1024:.0f})"
    )
    return 0 if not done.unaccounted and done.grown_bytes < GROWTH_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
