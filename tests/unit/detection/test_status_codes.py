# SPDX-License-Identifier: MIT
"""Which responses count as errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.config.model import Anomaly, ErrorAnomaly
from aodasync.detection.engine import Engine
from aodasync.detection.status_codes import Failures
from aodasync.events import EventArray, Flag, Outcome
from aodasync.smb.commands import COMMANDS
from aodasync.smb.errnos import ERRNOS
from aodasync.smb.ntstatus import STATUS_CODES
from tests.builders import (
    SECOND,
    config,
    connection_anomaly,
    error_anomaly,
    request,
    requests,
)


def _detector(anomaly: ErrorAnomaly) -> Failures:
    return Failures(anomaly)


def _codes(counting: Failures, rows: EventArray) -> list[str]:
    return [code for *_, code in counting.select(rows)]


_DENIED = STATUS_CODES["STATUS_ACCESS_DENIED"]
_NOT_FOUND = STATUS_CODES["STATUS_OBJECT_NAME_NOT_FOUND"]


def test_a_tracked_errno_counts_under_its_ntstatus_name() -> None:
    """STATUS_ACCESS_DENIED maps to EACCES, which is tracked; success and others do not count."""
    rows = requests(
        request("SMB2_CREATE", released_ns=SECOND, status=_DENIED),
        request("SMB2_CREATE", released_ns=SECOND + 1, status=0),
        request("SMB2_CREATE", released_ns=SECOND + 2, status=STATUS_CODES["STATUS_DISK_FULL"]),
    )
    hits = _detector(error_anomaly()).select(rows)
    assert [(code, at_ns) for _, at_ns, *_, code in hits] == [("STATUS_ACCESS_DENIED", SECOND)]


def test_an_ntstatus_can_be_tracked_and_excluded_by_name() -> None:
    """A named NTSTATUS counts without its errno; an excluded one does not count in spite of it."""
    disk_full = request("SMB2_WRITE", released_ns=SECOND, status=STATUS_CODES["STATUS_DISK_FULL"])
    tracked = _detector(error_anomaly(statuses=("STATUS_DISK_FULL",)))
    assert _codes(tracked, disk_full) == ["STATUS_DISK_FULL"]
    excluded = _detector(error_anomaly(excluded_statuses=frozenset({"STATUS_ACCESS_DENIED"})))
    denied = request("SMB2_CREATE", released_ns=SECOND, status=_DENIED)
    assert _codes(excluded, denied) == []


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
    assert bool(_detector(anomaly).select(row)) is counts


def test_noise_of_one_command_is_an_error_of_another() -> None:
    """STATUS_OBJECT_NAME_NOT_FOUND is noise on CREATE alone."""
    codes = _detector(error_anomaly(codes=("ENOENT",), named_codes=frozenset()))
    row = request("SMB2_SET_INFO", released_ns=SECOND, status=_NOT_FOUND)
    assert _codes(codes, row) == ["STATUS_OBJECT_NAME_NOT_FOUND"]


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
    codes = _detector(error_anomaly(codes=("EIO", "EHOSTDOWN", "EAGAIN")))
    row = request("SMB2_READ", released_ns=SECOND, outcome=outcome)
    assert _codes(codes, row) == ([code] if code else [])


@pytest.mark.parametrize("command", ["SMB2_ECHO", "SMB2_CLOSE", "SMB2_LOGOFF"])
def test_what_an_umount_ends_is_no_error(command: str) -> None:
    """Nobody waits for it any more."""
    codes = _detector(error_anomaly(codes=("EHOSTDOWN",)))
    row = request(command, released_ns=SECOND, outcome=Outcome.SHUTDOWN)
    assert _codes(codes, row) == []


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
    one = _detector(anomaly)
    expected = [
        (SECOND + n, code)
        for n, (command, status, outcome, kind) in enumerate(drawn)
        if kind == 0 and (code := one.tracked_code(COMMANDS.index(command), outcome, status))
    ]
    hits = _detector(anomaly).select(rows)
    assert [(at_ns, code) for _, at_ns, *_, code in hits] == expected


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("SMB2_QUERY_INFO", "STATUS_NO_EAS_ON_FILE"),
        ("SMB2_CREATE", "STATUS_OBJECT_NAME_COLLISION"),
        ("SMB2_CREATE", "STATUS_OBJECT_PATH_NOT_FOUND"),
        ("SMB2_QUERY_DIRECTORY", "STATUS_NO_SUCH_FILE"),
        ("SMB2_CHANGE_NOTIFY", "STATUS_CANCELLED"),
        ("SMB2_CHANGE_NOTIFY", "STATUS_NOTIFY_ENUM_DIR"),
        ("SMB2_LOCK", "STATUS_LOCK_NOT_GRANTED"),
        ("SMB2_CREATE", "STATUS_PATH_NOT_COVERED"),
        ("SMB2_READ", "STATUS_NETWORK_SESSION_EXPIRED"),
        ("SMB2_WRITE", "STATUS_USER_SESSION_DELETED"),
    ],
)
def test_what_healthy_clients_get_all_day_is_no_error(command: str, status: str) -> None:
    """With every errno tracked, as mode all does; but an error once its NTSTATUS is named."""
    code = STATUS_CODES[status]
    everything = error_anomaly(codes=tuple(ERRNOS), named_codes=frozenset())
    row = request(command, released_ns=SECOND, status=code)
    assert _codes(_detector(everything), row) == []
    named = replace(everything, statuses=(status,))
    assert _codes(_detector(named), row) == [status]


def test_a_compound_whose_create_found_nothing_is_no_error() -> None:
    """Its other parts fail like it; alone, a QUERY_INFO that finds nothing is an error."""
    anomaly = error_anomaly(codes=("ENOENT",), named_codes=frozenset())
    row = request("SMB2_QUERY_INFO", released_ns=SECOND, status=_NOT_FOUND)
    assert _codes(_detector(anomaly), row) == ["STATUS_OBJECT_NAME_NOT_FOUND"]
    row["flags"] = int(Flag.COMPOUND)
    assert _codes(_detector(anomaly), row) == []


@pytest.mark.parametrize("command", ["SMB2_SESSION_SETUP", "SMB2_IOCTL"])
def test_more_processing_required_is_never_an_error(command: str) -> None:
    """It is a step of a login that went well, even where EIO is named."""
    status = STATUS_CODES["STATUS_MORE_PROCESSING_REQUIRED"]
    anomaly = error_anomaly(
        statuses=("STATUS_MORE_PROCESSING_REQUIRED",), named_codes=frozenset({"EIO"})
    )
    row = request(command, released_ns=SECOND, status=status)
    assert _codes(_detector(anomaly), row) == []


@pytest.mark.parametrize(
    ("anomalies", "codes"),
    [
        ((error_anomaly(), connection_anomaly()), {"connection"}),
        ((error_anomaly(),), {"error"}),
        (
            (error_anomaly(commands=("SMB2_SESSION_SETUP",)), connection_anomaly()),
            {"connection", "error"},
        ),
        (
            (error_anomaly(statuses=("STATUS_LOGON_FAILURE",)), connection_anomaly()),
            {"connection", "error"},
        ),
    ],
)
def test_a_refused_login_is_told_once(anomalies: tuple[Anomaly, ...], codes: set[str]) -> None:
    """By the connection anomaly, where there is one; by both if its command or status is named."""
    engine = Engine(config(*anomalies), lambda _: "nas")
    refused = [
        request(
            "SMB2_SESSION_SETUP",
            released_ns=SECOND + n,
            status=STATUS_CODES["STATUS_LOGON_FAILURE"],
        )
        for n in range(20)
    ]
    started = engine.process(requests(*refused), SECOND)
    assert {each.finding.anomaly for each in started} == codes
