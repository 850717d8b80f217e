# SPDX-License-Identifier: MIT
"""Any value as JSON has it, so that a manifest is never lost to an odd one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from functools import singledispatch
from typing import Any

import numpy as np

__all__ = ["plain"]


@singledispatch
def plain(value: Any) -> Any:
    """The value as dict, list, str, int, float, bool or None.

    Dataclasses become objects, enumerations their value, sets sorted lists;
    NaN and infinities null; what is not known its ``str()``.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value)


@plain.register
def _(value: None) -> None:
    return value


@plain.register(str)
@plain.register(bool)
def _(value: str | bool) -> str | bool:  # noqa: FBT001  # a value among values
    return value


@plain.register
def _(value: int) -> int:
    return int(value)


@plain.register
def _(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@plain.register
def _(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


@plain.register
def _(value: Enum) -> Any:
    return plain(value.value)


@plain.register
def _(value: np.generic) -> Any:
    return plain(value.item())


@plain.register(np.ndarray)
@plain.register(list)
@plain.register(tuple)
def _(value: Any) -> list[Any]:
    return [plain(item) for item in value]


@plain.register(set)
@plain.register(frozenset)
def _(value: set[Any] | frozenset[Any]) -> list[Any]:
    return sorted((plain(item) for item in value), key=str)


@plain.register
def _(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]  # dispatch is on the bare class
    return {str(plain(key)): plain(item) for key, item in value.items()}
