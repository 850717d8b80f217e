# SPDX-License-Identifier: MIT
"""Moments in local time, whatever TZ says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from aodasync.host.local_time import DATE, iso, moment

_AT_NS = 1_700_000_000_123_456_789  # 2023-11-14 22:13:20 UTC

Zone = Callable[[str], None]


@pytest.fixture
def zone() -> Iterator[Zone]:
    """Sets TZ, and takes it back."""
    with pytest.MonkeyPatch.context() as patched:

        def use(name: str) -> None:
            patched.setenv("TZ", name)
            time.tzset()

        yield use
    time.tzset()


@pytest.mark.parametrize(
    ("name", "shown", "as_iso"),
    [
        ("UTC", "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20Z"),
        ("GMT0", "2023-11-14 22:13:20 GMT", "2023-11-14T22:13:20Z"),
        ("CET-1", "2023-11-14 23:13:20 CET (22:13:20 UTC)", "2023-11-14T23:13:20+01:00"),
        (
            "IST-5:30",
            "2023-11-15 03:43:20 IST (2023-11-14 22:13:20 UTC)",
            "2023-11-15T03:43:20+05:30",
        ),
        (
            "LONG24:59",  # datetime knows no offset of a day
            "2023-11-13 21:14:20 LONG (2023-11-14 22:13:20 UTC)",
            "2023-11-13T21:14:20-24:59",
        ),
    ],
)
def test_any_zone_makes_a_time(zone: Zone, name: str, shown: str, as_iso: str) -> None:
    """Local, and UTC where that is something else, with the date where that differs."""
    zone(name)
    assert moment(_AT_NS) == shown
    assert iso(_AT_NS) == as_iso


def test_the_form_of_utc_and_the_digits_can_be_chosen(zone: Zone) -> None:
    """The date on demand; a fraction is cut, not rounded into another second."""
    zone("CET-1")
    assert moment(_AT_NS, utc=DATE).endswith("CET (2023-11-14 22:13:20 UTC)")
    assert iso(_AT_NS, digits=6) == "2023-11-14T23:13:20.123456+01:00"
    assert iso(1_999_999_999, digits=3) == "1970-01-01T01:00:01.999+01:00"


@pytest.mark.parametrize("at_ns", [-(1 << 70), -1, 0, 1 << 62, 1 << 90])
def test_any_number_makes_a_time(zone: Zone, at_ns: int) -> None:
    """What no clock shows is damage, and the nearest time that can be written."""
    zone("UTC")
    assert moment(at_ns)[4] == iso(at_ns)[4] == "-"
