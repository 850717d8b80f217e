# SPDX-License-Identifier: MIT
"""Many events through the real ring: none may be unaccounted for, and memory may not grow.

``python -m tests.bench.soak [EVENTS]`` (default: 1e9), as root. A thread offers records from
a BPF program through our submit path; this one reads them into a flight recorder. Each
record carries its number, so each gap must be exactly what the kernel counted as lost.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from aodasync.evidence.recorder import FlightRecorder
from tests.bench.rigging import open_bench
from tests.kernel.flood import Flood, compile_flood
from tests.kernel.rig import Rig

GROWTH_BYTES: Final = 2 << 20
_RUN: Final = 20_000
_BATCH: Final = 16_384
_SETTLED: Final = 0.02  # share of the events after which memory is taken for settled


def private_dirty_bytes() -> int:
    """What this process alone keeps of the host's memory (smaps_rollup)."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.findall(r"Private_Dirty:\s+(\d+) kB", text)[0]) * 1024


def soak(rig: Rig, events: int) -> bool:
    """Run it and print the figures; whether they are right."""
    flood = Flood(compile_flood(urgent=False), rig.maps)
    recorder = FlightRecorder(50_000)
    done = threading.Event()

    def offer() -> None:
        for _ in range(events // _RUN):
            flood.run(_RUN)
        done.set()

    producer = threading.Thread(target=offer, name="producer")
    offered = events // _RUN * _RUN
    consumed = expected = gaps = settled_bytes = 0
    begun_sec = time.monotonic()
    producer.start()
    while True:
        ended = done.is_set()
        rows = rig.probe.read(_BATCH)
        if len(rows) == 0:
            if ended:
                break
            time.sleep(0.0002)
            continue
        numbers = rows["message_id"].astype(np.int64)
        gaps += int(numbers[-1]) - expected - (len(rows) - 1)
        expected = int(numbers[-1]) + 1
        if not (np.diff(numbers) > 0).all():
            print("records out of order")
            return False
        consumed += len(rows)
        recorder.append(rows)
        if not settled_bytes and consumed > _SETTLED * offered:
            gc.collect()
            settled_bytes = private_dirty_bytes()
    producer.join()
    elapsed_sec = time.monotonic() - begun_sec
    lost = rig.probe.losses()["ring_full"]
    gaps += offered - expected
    grown = private_dirty_bytes() - settled_bytes
    exact = consumed + lost == offered and gaps == lost
    print(
        f"offered {offered:,}, consumed {consumed:,}, lost {lost:,} ({lost / offered:.2%}),"
        f" unaccounted {offered - consumed - lost:,}; gaps in the numbers {gaps:,}\n"
        f"{elapsed_sec:.0f} s, {consumed / elapsed_sec / 1e6:.2f} M/s consumed of"
        f" {offered / elapsed_sec / 1e6:.2f} M/s offered; private dirty memory grew by"
        f" {grown / 1024:.0f} KiB (bound {GROWTH_BYTES / 1024:.0f})"
    )
    flood.close()
    return exact and grown < GROWTH_BYTES


def main() -> int:
    """Run it on the number of events that was asked for."""
    events = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000_000
    with open_bench() as bench, bench.rig() as rig:
        return 0 if soak(rig, events) else 1


if __name__ == "__main__":
    sys.exit(main())
