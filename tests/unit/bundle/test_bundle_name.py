# SPDX-License-Identifier: MIT
"""Names of bundles can be told from all others, and are safe whatever an anomaly is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.bundle.bundle_name import BundleName, is_leftover

_TIMES = st.integers(0, 2**64 - 1)


@given(realtime_ns=_TIMES, anomaly=st.text(max_size=100))
def test_any_anomaly_gives_a_safe_name_that_parses(realtime_ns: int, anomaly: str) -> None:
    """Whatever the configuration calls an anomaly, its bundle's name is plain and round-trips."""
    name = BundleName.of(realtime_ns, anomaly)
    assert re.fullmatch(r"aod_quick_[0-9]+_[A-Za-z0-9_-]{1,64}", str(name), re.ASCII)
    assert BundleName.parse(str(name)) == name
    assert BundleName.parse(name.archive) == name
    assert BundleName.parse(name.directory) is None
    assert is_leftover(name.directory)
    assert is_leftover(name.archive + ".partial")
    assert not is_leftover(name.archive)


@given(name=st.text(max_size=80) | st.from_regex(r"aod_quick_[0-9_a-z.]{0,40}"))
def test_whatever_parses_is_what_would_be_written(name: str) -> None:
    """No name is taken for a bundle's but one that this program would give."""
    parsed = BundleName.parse(name)
    if parsed is not None:
        assert name in (str(parsed), parsed.archive)


@pytest.mark.parametrize(
    "name",
    [
        "aod_quick_1_latency.tar.zst.partial",
        "aod_quick_1_latency.partial",
        "aod_quick_01_latency",
        "aod_quick_1_",
        "aod_quick_1_../../etc/passwd",
        "aod_quick_1_latency\n",
        "aod_quick_\N{ARABIC-INDIC DIGIT ONE}_latency",
        "aod_quick_-1_latency",
        "xaod_quick_1_latency",
        "aod_quick_1.tar.zst",
        "",
    ],
)
def test_other_names_are_not_bundles(name: str) -> None:
    """Partial ones, other programs' and hostile ones are none of ours."""
    assert BundleName.parse(name) is None
