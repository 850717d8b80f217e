# SPDX-License-Identifier: MIT
"""The clocks, as an argument, so that a replay and a test bring their own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "SystemClock", "process_age_ms", "real_and_boot_ns"]


class Clock(Protocol):
    """Nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns) and CLOCK_REALTIME."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME."""


class SystemClock:
    """This host's clocks."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns()


def real_and_boot_ns() -> tuple[int, int]:
    """CLOCK_REALTIME, and CLOCK_BOOTTIME: it counts suspended time, and no step moves it."""
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def process_age_ms() -> float:
    """Time since this process was started, to one tick (10 ms). Field 22 of proc_pid_stat(5)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_sec = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - started_sec) * 1e3
