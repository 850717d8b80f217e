# SPDX-License-Identifier: MIT
"""Ranks agree with numpy's, at a fraction of the memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.ranks import distinct, median, quantile

_VALUES = st.lists(st.integers(0, 2**50), min_size=1, max_size=50)


@given(_VALUES, st.floats(0, 1))
def test_quantiles_are_numpys(values: list[int], share: float) -> None:
    """Interpolation included, on integers and floats."""
    for array in (np.array(values, np.uint64), np.array(values) / 1e6):
        assert quantile(array, share) == pytest.approx(float(np.quantile(array, share)))
        assert median(array) == pytest.approx(float(np.median(array)))


@given(_VALUES)
def test_distinct_values_are_sorted(values: list[int]) -> None:
    """Each is there once, as a Python integer."""
    assert distinct(np.array(values, np.uint64)) == np.unique(values).tolist()


def test_ranks_do_without_masked_arrays() -> None:
    """numpy.ma stays out of the process."""
    program = (
        "import sys, numpy as np; from aodasync.ranks import distinct, quantile;"
        "distinct(np.arange(9)); quantile(np.arange(9), 0.9); assert 'numpy.ma' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
