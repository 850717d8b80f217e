# SPDX-License-Identifier: MIT
"""What ``--since`` takes."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Final

from aodasync.errors import UsageError

__all__ = ["parse_since"]

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_since(text: str, *, now_ns: int) -> int:
    """``90m``, ``12h``, ``7d``, ``2w`` ago, or a date or time, as CLOCK_REALTIME in ns.

    A time without a zone is local.

    Raises:
        UsageError: it is neither.
    """
    word = text.strip().lower()
    if span := re.fullmatch(r"(\d{1,6})([mhdw])", word):
        return now_ns - int(span[1]) * _UNITS[span[2]] * 1_000_000_000
    with contextlib.suppress(ValueError, OverflowError):
        return round(datetime.fromisoformat(text.strip()).timestamp() * 1e9)
    raise UsageError(
        f"--since: expected a span such as 7d or a date such as 2026-11-28, found {text!r:.40}",
        hint="30m, 12h, 7d, 2w, or '2026-11-28 03:00' in local time",
    )
