# SPDX-License-Identifier: MIT
"""Moments of a bundle as people read them: its CLOCK_MONOTONIC as local time and UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aodasync.report.values import part, whole_number

__all__ = ["Clock", "clock_of", "duration"]

_LATEST_SEC: Final = 253_000_000_000  # in the year 9987: the last that datetime can tell


@dataclass(frozen=True, slots=True)
class Clock:
    """``offset_ns`` leads from CLOCK_MONOTONIC to CLOCK_REALTIME."""

    offset_ns: int

    def date(self, at_ns: int) -> str:
        """Date and time: local, and in UTC where that differs."""
        utc = self._utc(at_ns)
        local = utc.astimezone()
        also = f" ({utc:%Y-%m-%d %H:%M:%S} UTC)" if local.utcoffset() else ""
        return f"{local:%Y-%m-%d %H:%M:%S %Z}{also}"

    def time(self, at_ns: int) -> str:
        """The local time of day."""
        return f"{self._utc(at_ns).astimezone():%H:%M:%S}"

    def _utc(self, at_ns: int) -> datetime:
        seconds = min(max(0.0, (at_ns + self.offset_ns) / 1e9), _LATEST_SEC)
        return datetime.fromtimestamp(seconds, tz=UTC)


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
