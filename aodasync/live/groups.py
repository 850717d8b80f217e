# SPDX-License-Identifier: MIT
"""Figures of groups of rows, of all groups at once: a window may have ten thousand. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Figures", "Numbers", "codes", "figures_of", "named", "rising", "text_codes"]

Numbers: TypeAlias = npt.NDArray[np.int64]

_DIGIT_BITS: Final = 16  # numpy sorts so many in linear time
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of each of K groups, shape (K,) each: requests that ended, and those that wait.

    Where none ended, ``p50_ns``, ``p99_ns`` and ``max_ns`` are NaN.
    """

    requests: Numbers
    p50_ns: npt.NDArray[np.float64]
    p99_ns: npt.NDArray[np.float64]
    max_ns: npt.NDArray[np.float64]
    sum_ns: npt.NDArray[np.float64]
    errors: Numbers
    waiting: Numbers
    oldest_ns: Numbers


def codes(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Numbers]:
    """The different integers in ``values``, of shape (N,), rising, and each one's place there."""
    if len(values) and int(values.max()) < 4 * len(values):
        present = np.bincount(values.astype(np.int64)) > 0
        return np.flatnonzero(present), (np.cumsum(present) - 1)[values]
    if (found := _few_codes(values)) is not None:
        return found
    ranked = np.sort(values)
    begins = np.ones(len(ranked), np.bool_)
    begins[1:] = ranked[1:] != ranked[:-1]
    table = ranked[begins]
    return table, np.searchsorted(table, values).astype(np.int64)


def _few_codes(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Numbers] | None:
    """The same by a hash, where no two values have one: a quarter of the time."""
    hashed = (values.astype(np.uint64) * _MIX) >> np.uint64(64 - _DIGIT_BITS)
    of_hash = np.zeros(1 << _DIGIT_BITS, values.dtype)
    of_hash[hashed] = values
    if not np.array_equal(of_hash[hashed], values):
        return None
    hashes = np.flatnonzero(np.bincount(hashed.astype(np.int64)))
    hashes = hashes[np.argsort(of_hash[hashes])]
    place = np.zeros(len(of_hash), np.int64)
    place[hashes] = np.arange(len(hashes))
    return of_hash[hashes], place[hashed]


def rising(values: npt.NDArray[Any], order: Numbers | None = None) -> Numbers:
    """The places of ``values``, integers from 0 on of shape (N,), in rising order.

    Those of equal values stay in ``order``, which is that of their places if none is given.
    """
    found = np.arange(len(values)) if order is None else order
    for shift in range(0, int(values.max(initial=0)).bit_length(), _DIGIT_BITS):
        digits = (values >> values.dtype.type(shift)).astype(np.uint16)
        found = found[np.argsort(digits[found], kind="stable")]
    return found


def named(place: Numbers, names: Iterable[str]) -> tuple[list[str], Numbers]:
    """The different ``names``, and the place among them of each row's name.

    ``place``, of shape (N,), says which of the names is a row's.
    """
    number: dict[str, int] = {}
    of_names = [number.setdefault(name, len(number)) for name in names]
    return list(number), np.array(of_names, np.int64)[place]


def text_codes(texts: npt.NDArray[np.bytes_]) -> tuple[list[str], Numbers]:
    """The different texts of 16 bytes, shape (N,), and each one's place among them."""
    words = np.ascontiguousarray(texts).view(np.uint64).reshape(-1, 2)
    (first, first_place), (second, second_place) = codes(words[:, 0]), codes(words[:, 1])
    pairs, place = codes(first_place * len(second) + second_place)
    found = np.empty((len(pairs), 2), np.uint64)
    if len(pairs):
        found[:, 0], found[:, 1] = first[pairs // len(second)], second[pairs % len(second)]
    values = found.view("S16").ravel().tolist()
    return named(place, (value.decode("utf-8", "replace") for value in values))


def figures_of(
    count: int,
    *,
    ended: Numbers,
    latency_ns: npt.NDArray[np.uint64],
    by_latency: Numbers,
    bad: npt.NDArray[np.bool_],
    waiting: Numbers,
    age_ns: Numbers,
) -> Figures:
    """The figures of ``count`` groups.

    ``ended``, ``latency_ns`` and ``bad`` are of the requests that ended, of shape (N,): the
    group of each, what it took, whether it failed; ``by_latency`` are their places, the
    quickest first; ``waiting`` and ``age_ns``, of shape (M,), are of those that wait.
    """
    requests = np.bincount(ended, minlength=count)
    ranked_ns = latency_ns[rising(ended, by_latency)]  # group by group
    some = np.flatnonzero(requests)
    last = requests[some] - 1
    begin = np.cumsum(requests)[some] - requests[some]

    def quantile(share: float) -> npt.NDArray[np.float64]:
        found = np.full(count, np.nan)
        at = share * last
        below = at.astype(np.int64)
        low = ranked_ns[begin + below].astype(np.float64)
        high = ranked_ns[begin + np.minimum(below + 1, last)].astype(np.float64)
        found[some] = low + (high - low) * (at - below)
        return found

    oldest_ns = np.zeros(count, np.int64)
    np.maximum.at(oldest_ns, waiting, age_ns)
    return Figures(
        requests=requests,
        p50_ns=quantile(0.5),
        p99_ns=quantile(0.99),
        max_ns=quantile(1.0),
        sum_ns=np.bincount(ended, latency_ns.astype(np.float64), count).astype(np.float64),
        errors=np.bincount(ended[bad], minlength=count),
        waiting=np.bincount(waiting, minlength=count),
        oldest_ns=oldest_ns,
    )
