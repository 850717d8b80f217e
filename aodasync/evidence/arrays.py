# SPDX-License-Identifier: MIT
"""Medians, quantiles, distinct values and membership, without numpy's.

numpy.unique, and with it isin, median and percentile, import numpy.ma: 2 MB that stay
resident, for nothing; unique takes 10 us on a handful of values, and its hash table
left the heap 9 MB larger over 50,000.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["distinct", "is_in", "median", "quantile"]

# A search in a table takes 7 ns or more for each value, a comparison with all 0.1 ns a value.
_FEW: Final = 3
_MANY: Final = 1000
_FEW_OF_MANY: Final = 32
_SHORT: Final = 32  # a set is quicker


def distinct(values: npt.NDArray[Any]) -> list[int]:
    """The different integers in ``values``, of any shape, in rising order."""
    if values.size <= _SHORT:
        return sorted({*values.ravel().tolist()})
    copied = values.tobytes()  # quicker than ravel, and to compare
    if copied.startswith(copied[values.itemsize :]):  # all as the one after it
        return [values.item(0)]
    flat = np.frombuffer(copied, values.dtype)
    later = flat[1:]
    begins = later[later != flat[:-1]]  # of a run of equal ones: a batch has few
    return sorted({int(flat[0]), *begins.tolist()})


def is_in(
    values: npt.NDArray[Any], wanted: Collection[int] | npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Which of the integers in ``values``, of shape (N,), are among ``wanted``."""
    if isinstance(wanted, np.ndarray):
        table = wanted.astype(values.dtype)
    else:
        table = np.fromiter(wanted, values.dtype, len(wanted))
    found: npt.NDArray[np.bool_] = np.zeros(len(values), np.bool_)
    if len(table) <= (_FEW if len(values) < _MANY else _FEW_OF_MANY):
        for one in table:
            found |= values == one
        return found
    table.sort()
    at = np.searchsorted(table, values)
    at[at == len(table)] = 0
    np.equal(table[at], values, out=found)
    return found


def median(values: npt.NDArray[Any]) -> float:
    """The median of ``values``, of shape (N,), N at least 1."""
    return quantile(values, 0.5)


def quantile(values: npt.NDArray[Any], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed, interpolated as numpy does.

    ``values`` have shape (N,), N at least 1, and no NaN.
    """
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    ranked = np.partition(values, (below, above))
    low, high = float(ranked[below]), float(ranked[above])
    return low + (high - low) * (place - below)
