# SPDX-License-Identifier: MIT
"""Which responses count as errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.errors import ErrorCodes
from aodasync.events import Outcome
from aodasync.smb.commands import COMMANDS
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


@pytest.mark.parametrize("command", ["SMB2_ECHO", "SMB2_CLOSE", "SMB2_LOGOFF"])
def test_what_an_umount_ends_is_no_error(command: str) -> None:
    """Nobody waits for it any more."""
    codes = ErrorCodes(error_anomaly(codes=("EHOSTDOWN",)))
    row = request(command, released_ns=SECOND, outcome=Outcome.SHUTDOWN)
    assert codes.failed_requests(row).codes == ()


@settings(deadline=None)
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(COMMANDS),
            st.sampled_from([0, _DENIED, _NOT_FOUND, 0xC000007F, 0xC0001234, 0x103]),
            st.sampled_from(list(Outcome)),
            st.sampled_from([0, 1, 4]),
        ),
        max_size=40,
    ),
    tracked=st.sets(st.sampled_from(["EACCES", "EIO", "ENOENT", "ENOSPC", "EHOSTDOWN"])),
    named=st.sets(st.sampled_from(["ENOENT", "EIO"])),
)
def test_a_batch_agrees_with_one_response_at_a_time(
    drawn: list[tuple[str, int, Outcome, int]], tracked: set[str], named: set[str]
) -> None:
    """Whatever is tracked and whatever comes, in whatever order; trouble events never count."""
    anomaly = error_anomaly(codes=tuple(tracked), named_codes=frozenset(named))
    rows = requests(
        *(
            request(command, released_ns=SECOND + n, status=status, outcome=outcome, kind=kind)
            for n, (command, status, outcome, kind) in enumerate(drawn)
        )
    )
    one = ErrorCodes(anomaly)
    expected = [
        (SECOND + n, code)
        for n, (command, status, outcome, kind) in enumerate(drawn)
        if kind == 0 and (code := one.tracked_code(COMMANDS.index(command), outcome, status))
    ]
    hits = ErrorCodes(anomaly).failed_requests(rows)
    assert list(zip(hits.rows["released_ns"].tolist(), hits.codes, strict=True)) == expected
