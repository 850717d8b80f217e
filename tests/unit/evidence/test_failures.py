# SPDX-License-Identifier: MIT
"""One definition of a failed request, for the report, the status and live figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aodasync
from aodasync.bundle.archive import load_recording
from aodasync.events import EVENT, Flag, Kind, Outcome
from aodasync.evidence.failures import failed, silent
from aodasync.report.summary import errors
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.status import server_summary
from tests.builders import SECOND, request, requests, trouble


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("SMB2_CREATE", "STATUS_OBJECT_NAME_NOT_FOUND"),
        ("SMB2_CREATE", "STATUS_OBJECT_PATH_NOT_FOUND"),
        ("SMB2_CREATE", "STATUS_OBJECT_NAME_COLLISION"),
        ("SMB2_READ", "STATUS_END_OF_FILE"),
        ("SMB2_QUERY_DIRECTORY", "STATUS_NO_MORE_FILES"),
        ("SMB2_QUERY_DIRECTORY", "STATUS_NO_SUCH_FILE"),
        ("SMB2_QUERY_INFO", "STATUS_NO_EAS_ON_FILE"),
        ("SMB2_QUERY_INFO", "STATUS_BUFFER_OVERFLOW"),
        ("SMB2_CHANGE_NOTIFY", "STATUS_CANCELLED"),
        ("SMB2_SESSION_SETUP", "STATUS_MORE_PROCESSING_REQUIRED"),
        ("SMB2_NEGOTIATE", "STATUS_MORE_PROCESSING_REQUIRED"),
    ],
)
def test_what_a_healthy_client_gets_is_no_failure(command: str, status: str) -> None:
    """Expected answers are no errors of their command, and most are of any other."""
    row = request(command, released_ns=SECOND, status=STATUS_CODES[status])
    assert failed(row).tolist() == [False]


def test_errors_and_missing_responses_are_failures() -> None:
    """A refused request failed; one that a reconnect cut off had no response; troubles neither."""
    refused = request(
        "SMB2_CREATE", released_ns=SECOND, status=STATUS_CODES["STATUS_ACCESS_DENIED"]
    )
    strange = request("SMB2_WRITE", released_ns=SECOND, status=STATUS_CODES["STATUS_NO_SUCH_FILE"])
    cut_off = request("SMB2_READ", released_ns=SECOND, outcome=Outcome.RETRY)
    waiting = request("SMB2_READ", released_ns=0, latency_ns=0, outcome=Outcome.IN_FLIGHT)
    broken = trouble(Kind.CONNECT_ERROR, at_ns=SECOND, status=0xC0000022)
    rows = requests(refused, strange, cut_off, waiting, broken)
    assert failed(rows).tolist() == [True, True, False, False, False]
    assert silent(rows).tolist() == [False, False, True, False, False]
    assert failed(np.zeros(0, EVENT)).tolist() == []


def test_parts_of_a_compound_that_found_no_file_are_no_errors() -> None:
    """A look-up fails as a whole: QUERY_INFO and CLOSE after the CREATE, too."""
    missing = {"status": 0xC0000034, "flags": Flag.COMPOUND, "released_ns": SECOND}
    lookup = requests(*(request(c, **missing) for c in ("SMB2_QUERY_INFO", "SMB2_CLOSE")))
    alone = request("SMB2_CLOSE", status=0xC0000034, released_ns=SECOND)
    assert failed(requests(lookup, alone)).tolist() == [False, False, True]


def test_status_and_report_agree_on_the_packaged_recording() -> None:
    """Its healthy clients look for files that are not there: no errors, for either of the two."""
    _, rows = load_recording(Path(aodasync.__file__).parent / "recordings" / "slow_server")
    now_ns = int(rows["released_ns"].max())
    counted = sum(s["errors"] for s in server_summary(rows, str, now_ns).values())
    assert counted == sum(count for *_, count in errors(rows, {})) == 0
    assert np.count_nonzero(rows["status"]) > 100
