# SPDX-License-Identifier: MIT
"""Which responses count as errors."""

from __future__ import annotations

import pytest

from aodasync.detection.errors import ErrorCodes
from aodasync.events import Outcome
from aodasync.smb.ntstatus import STATUS_CODES
from tests.unit.builders import SECOND, error_anomaly, request, requests

_DENIED = STATUS_CODES["STATUS_ACCESS_DENIED"]
_NOT_FOUND = STATUS_CODES["STATUS_OBJECT_NAME_NOT_FOUND"]


def test_a_tracked_errno_counts_under_its_ntstatus_name() -> None:
    """STATUS_ACCESS_DENIED maps to EACCES, which is tracked; success and others do not count."""
    rows = requests(
        request("SMB2_CREATE", released_ns=SECOND, status=_DENIED),
        request("SMB2_CREATE", released_ns=SECOND, status=0),
        request("SMB2_CREATE", released_ns=SECOND, status=STATUS_CODES["STATUS_DISK_FULL"]),
    )
    hits = ErrorCodes(error_anomaly()).failed_requests(rows)
    assert hits.codes == ("STATUS_ACCESS_DENIED",)
    assert hits.rows["status"].tolist() == [_DENIED]


def test_an_ntstatus_can_be_tracked_and_excluded_by_name() -> None:
    """A named NTSTATUS counts without its errno; an excluded one does not count in spite of it."""
    disk_full = request("SMB2_WRITE", released_ns=SECOND, status=STATUS_CODES["STATUS_DISK_FULL"])
    tracked = ErrorCodes(error_anomaly(statuses=("STATUS_DISK_FULL",)))
    assert tracked.failed_requests(disk_full).codes == ("STATUS_DISK_FULL",)
    excluded = ErrorCodes(error_anomaly(excluded_statuses=frozenset({"STATUS_ACCESS_DENIED"})))
    denied = request("SMB2_CREATE", released_ns=SECOND, status=_DENIED)
    assert excluded.failed_requests(denied).codes == ()


@pytest.mark.parametrize(
    ("named", "statuses", "counts"),
    [
        (frozenset(), (), False),
        (frozenset({"ENOENT"}), (), True),
        (frozenset({"STATUS_OBJECT_NAME_NOT_FOUND"}), ("STATUS_OBJECT_NAME_NOT_FOUND",), True),
    ],
)
def test_expected_noise_counts_only_when_named(
    named: frozenset[str], statuses: tuple[str, ...], counts: bool
) -> None:
    """A CREATE of a missing file is no error unless its errno or NTSTATUS is named."""
    anomaly = error_anomaly(codes=("ENOENT",), named_codes=named, statuses=statuses)
    row = request("SMB2_CREATE", released_ns=SECOND, status=_NOT_FOUND)
    assert bool(ErrorCodes(anomaly).failed_requests(row).codes) is counts


def test_noise_of_one_command_is_an_error_of_another() -> None:
    """STATUS_OBJECT_NAME_NOT_FOUND is noise on CREATE alone."""
    codes = ErrorCodes(error_anomaly(codes=("ENOENT",), named_codes=frozenset()))
    row = request("SMB2_SET_INFO", released_ns=SECOND, status=_NOT_FOUND)
    assert codes.failed_requests(row).codes == ("STATUS_OBJECT_NAME_NOT_FOUND",)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.MALFORMED, "EIO"),
        (Outcome.SHUTDOWN, "EHOSTDOWN"),
        (Outcome.RETRY, ""),
        (Outcome.CANCELLED, ""),
        (200, ""),
    ],
)
def test_requests_without_a_response_count_by_the_errno_of_their_caller(
    outcome: int, code: str
) -> None:
    """A torn-down connection is EHOSTDOWN, a malformed response EIO, a retry neither."""
    codes = ErrorCodes(error_anomaly(codes=("EIO", "EHOSTDOWN", "EAGAIN")))
    row = request("SMB2_READ", released_ns=SECOND, outcome=outcome)
    assert codes.failed_requests(row).codes == ((code,) if code else ())
