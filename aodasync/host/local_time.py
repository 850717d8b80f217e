# SPDX-License-Identifier: MIT
"""Moments as people read them: in local time, whatever TZ says it is.

``datetime`` refuses offsets of a day and more, which POSIX allows; ``time`` knows them all.
"""

from __future__ import annotations

import time
from typing import Final

__all__ = ["DATE", "TIME", "iso", "local", "moment"]

DATE: Final = "%Y-%m-%d %H:%M:%S"
TIME: Final = "%H:%M:%S"

_LATEST_SEC: Final = 253_000_000_000  # in the year 9987: later years have five digits


def local(realtime_ns: int) -> time.struct_time:
    """The local time; what is before 1970 or after 9987 is damage, and the nearest of them."""
    return time.localtime(_seconds(realtime_ns))


def moment(realtime_ns: int, *, utc: str = "") -> str:
    """Date, time and zone; where that is not UTC, in parentheses also UTC.

    That has the date, too, where it is another day. ``utc`` is the form that it has instead.
    """
    here, there = local(realtime_ns), time.gmtime(_seconds(realtime_ns))
    form = utc or (TIME if here.tm_mday == there.tm_mday else DATE)
    also = f" ({time.strftime(form, there)} UTC)" if here.tm_gmtoff else ""
    return f"{time.strftime(DATE, here)} {here.tm_zone}".rstrip() + also


def iso(realtime_ns: int, *, digits: int = 0) -> str:
    """ISO 8601 with the zone's offset; ``digits`` are those after the second, up to nine."""
    here = local(realtime_ns)
    fraction = f".{realtime_ns % 10**9:09d}"[: digits + 1] if digits else ""
    sign, minutes = "+-"[here.tm_gmtoff < 0], abs(here.tm_gmtoff) // 60
    offset = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', here)}{fraction}{offset}"


def _seconds(realtime_ns: int) -> int:
    return min(max(0, realtime_ns // 10**9), _LATEST_SEC)
