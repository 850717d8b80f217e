# SPDX-License-Identifier: MIT
"""Totals are read from /proc/fs/cifs/Stats."""

from __future__ import annotations

from aodasync.smb.client_stats import requests_by_share

_STATS = """\
Resources in use
CIFS Session: 2
Share (unique mount targets): 3
SMB Request/Response Buffer: 1 Pool size: 5
Operations (MIDs): 0

0 session 0 share reconnects
Total vfs operations: 116 maximum at one time: 2

Max requests in flight: 3
1) \\\\10.9.9.1\\share
SMBs: 912
Bytes read: 65536  Bytes written: 4096
Open files: 0 total (local), 0 open on server
TreeConnects: 1 total 0 failed
2) \\\\10.9.9.1\\second share\tDISCONNECTED\x20
SMBs: 7
TreeConnects: 1 total 1 failed
3) \\\\10.9.9.1\\share
SMBs: 8
"""


def test_requests_are_summed_by_share() -> None:
    """Each share has its count; the same share mounted twice has the sum."""
    assert requests_by_share(_STATS) == {
        "\\\\10.9.9.1\\share": 920,
        "\\\\10.9.9.1\\second share": 7,
    }


def test_a_client_without_mounts_has_no_shares() -> None:
    """The header alone gives nothing."""
    assert requests_by_share(_STATS.split("1)", maxsplit=1)[0]) == {}
