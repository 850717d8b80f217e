# SPDX-License-Identifier: MIT
"""The clocks, as an argument, so that a replay and a test bring their own."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


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
