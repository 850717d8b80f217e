# SPDX-License-Identifier: MIT
"""Different values, and their order, of columns of any width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.live.groups import codes, rising

_WIDE = st.integers(0, 2**63 - 1)


@given(st.lists(st.one_of(st.integers(0, 30), _WIDE), max_size=60))
def test_codes_are_numpys_unique(drawn: list[int]) -> None:
    """Rising values and each one's place among them, whether they are small or wide."""
    values = np.array(drawn, np.uint64)
    table, place = codes(values)
    expected, places = np.unique(values, return_inverse=True)
    assert table.tolist() == expected.tolist()
    assert place.tolist() == places.tolist()


@pytest.mark.parametrize("different", [3, 20_000])
def test_values_whose_hashes_collide_are_told_apart(different: int) -> None:
    """20,000 different ones cannot have as many of 65,536 hashes: they are sorted instead."""
    drawn = np.random.default_rng(1).integers(1 << 40, 1 << 62, different)
    values = np.repeat(drawn, 3)
    table, place = codes(values)
    assert table.tolist() == sorted(drawn.tolist())
    assert np.array_equal(table[place], values)


@given(
    st.lists(st.one_of(st.integers(0, 5), _WIDE), max_size=60),
    st.sampled_from([np.int64, np.uint64]),
)
def test_rising_order_is_stable(drawn: list[int], kind: type[np.int64 | np.uint64]) -> None:
    """As numpy's stable sort, of values of up to 64 bits; equal ones as in a given order."""
    values = np.array(drawn, np.uint64).astype(kind)
    assert rising(values).tolist() == np.argsort(values, kind="stable").tolist()
    turned = np.arange(len(values))[::-1]
    expected = turned[np.argsort(values[turned], kind="stable")]
    assert rising(values, turned).tolist() == expected.tolist()
