# SPDX-License-Identifier: MIT
"""Spans of time as people read them."""

from __future__ import annotations

__all__ = ["duration"]


def duration(span_ns: int) -> str:
    """A span of time in the unit that fits: 42 s, 12 min, 3.5 h, 2.1 d."""
    seconds = max(0, span_ns) / 1e9
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
