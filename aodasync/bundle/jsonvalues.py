# SPDX-License-Identifier: MIT
"""Any value as JSON has it, so that a manifest is never lost to an odd one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType
from typing import Any, Final

import numpy as np

__all__ = ["plain"]

_AS_JSON: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: plain(value.value)),
    (np.generic, lambda value: plain(value.item())),
    ((str, bool, NoneType), lambda value: value),
    (int, int),
    (float, lambda value: float(value) if math.isfinite(value) else None),
    (bytes, lambda value: value.decode("utf-8", "backslashreplace")),
    (Mapping, lambda value: {str(plain(key)): plain(item) for key, item in value.items()}),
    ((list, tuple, np.ndarray), lambda value: [plain(item) for item in value]),
    ((set, frozenset), lambda value: sorted(map(plain, value), key=str)),
)
"""The first type that fits decides."""
_PLAIN_ALREADY: Final = frozenset({str, int, bool, NoneType})


def plain(value: Any) -> Any:
    """The value as dict, list, str, int, float, bool or None.

    Dataclasses become objects, enumerations their value, sets sorted lists;
    NaN and infinities null; what is not known its ``str()``.
    """
    # Most are one of these, and evidence waits for a manifest.
    kind = type(value)
    if kind in _PLAIN_ALREADY:
        return value
    if kind is dict:
        return {k if type(k) is str else str(plain(k)): plain(item) for k, item in value.items()}
    if kind is list:
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    as_json = next((convert for kind, convert in _AS_JSON if isinstance(value, kind)), str)
    return as_json(value)
