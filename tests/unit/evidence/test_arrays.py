# SPDX-License-Identifier: MIT
"""Ranks agree with numpy's, at a fraction of the memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aodasync
from aodasync.evidence.arrays import distinct, is_in, median, quantile

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


@given(st.lists(st.integers(0, 9)), st.frozensets(st.integers(0, 9)))
def test_membership_is_numpys(values: list[int], wanted: frozenset[int]) -> None:
    """Of values and of wanted ones there may be none; these may be an array of another type."""
    array = np.array(values, np.uint32)
    expected = [value in wanted for value in values]
    assert is_in(array, wanted).tolist() == expected
    assert is_in(array, np.array([*wanted], np.uint64)).tolist() == expected


def test_ranks_and_membership_do_without_masked_arrays() -> None:
    """Each function by itself loads no numpy.ma, unless numpy did."""
    program = (
        "import sys, numpy as np; before = set(sys.modules);"
        "from aodasync.evidence.arrays import distinct, is_in, quantile;"
        "distinct(np.arange(9)); quantile(np.arange(9), 0.9); is_in(np.arange(9), range(50));"
        "assert 'numpy.ma' not in set(sys.modules) - before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_bundle_is_made_without_masked_arrays(tmp_path: Path) -> None:
    """numpy.ma stays out of the process, unless numpy itself loads it, as versions before 2 do."""
    recording = Path(aodasync.__file__).parent / "recordings" / "slow_disk"
    program = (
        "import sys, numpy; before = set(sys.modules);"
        "from aodasync.cli.main import main;"
        f"code = main(['replay', {str(recording)!r}, '--output-dir', {str(tmp_path)!r}]);"
        "assert 'numpy.ma' not in set(sys.modules) - before; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert list(tmp_path.glob("batches/*.tar.zst"))
