# SPDX-License-Identifier: MIT
"""Moments of a bundle as people read them: its CLOCK_MONOTONIC as local time and UTC."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aodasync.host import local_time
from aodasync.report.values import part, whole_number

__all__ = ["Clock", "clock_of", "duration"]


@dataclass(frozen=True, slots=True)
class Clock:
    """``offset_ns`` leads from CLOCK_MONOTONIC to CLOCK_REALTIME."""

    offset_ns: int

    def date(self, at_ns: int) -> str:
        """Date and time: local, and in UTC where that differs."""
        return local_time.moment(at_ns + self.offset_ns, utc=local_time.DATE)

    def time(self, at_ns: int) -> str:
        """The local time of day."""
        return time.strftime(local_time.TIME, local_time.local(at_ns + self.offset_ns))


def clock_of(manifest: Mapping[str, Any]) -> Clock | None:
    """By the decision (of a replay, too), else by the manifest's clocks; None for neither."""
    clock, collection = part(manifest, "clock"), part(manifest, "collection")
    for holder, prefix in ((collection, "decided_"), (clock, "")):
        monotonic = whole_number(holder, f"{prefix}monotonic_ns")
        realtime = whole_number(holder, f"{prefix}realtime_ns")
        if monotonic and realtime:
            return Clock(realtime - monotonic)
    return None


def duration(length_ms: float) -> str:
    """A length of time with its unit."""
    if length_ms >= 1000:
        return f"{length_ms / 1000:.{3 if length_ms < 1e6 else 6}g} s"
    return f"{length_ms:.3g} ms" if length_ms >= 1 else f"{length_ms * 1000:.3g} \N{MICRO SIGN}s"
