# SPDX-License-Identifier: MIT
"""JSON that anybody may have written: parsed within bounds."""

from __future__ import annotations

import json
import math
from typing import Any, Final

__all__ = ["MAX_BYTES", "parse_json"]

MAX_BYTES: Final = 8 << 20
"""The largest file that is parsed: what comes of it takes up to fifty times as much memory."""

_MAX_DEPTH: Final = 32
_MOST_VALUES: Final = 1_000_000  # an empty list has two bytes, and takes as long as a word
_MAX_DIGITS: Final = 20  # of a 64-bit number, with its sign


def parse_json(data: bytes) -> Any:
    """The value. Numbers that are no 64-bit integer and no finite float are None.

    Raises:
        ValueError: it is not JSON, is nested deeper than anything that is written here, or
            has more values than that.
    """
    try:
        value = json.loads(data, parse_int=_whole, parse_float=_finite, parse_constant=_nothing)
    except RecursionError:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep") from None
    if _count(value, _MAX_DEPTH) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES:,} values")
    return value


def _whole(text: str) -> int | None:
    number = int(text) if len(text) <= _MAX_DIGITS else None
    return number if number is not None and -(1 << 63) <= number < 1 << 64 else None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _nothing(_constant: str) -> None:
    """NaN and the infinities."""


def _count(value: Any, left: int) -> int:
    """The values in it. Raises ValueError: they are nested too deep."""
    if not isinstance(value, dict | list):
        return 0
    if left == 0:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    inner = value.values() if isinstance(value, dict) else value
    return len(value) + sum([_count(v, left - 1) for v in inner if isinstance(v, dict | list)])
