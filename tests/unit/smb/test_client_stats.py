# SPDX-License-Identifier: MIT
"""Totals are read from /proc/fs/cifs/Stats."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.smb.client_stats import ClientTotals, client_totals

_STATS = Path(__file__).parent / "stats"
_WITHOUT_TABLES = """\
Resources in use
CIFS Session: 2
Share (unique mount targets): 3
SMB Request/Response Buffer: 1 Pool size: 5
Operations (MIDs): 0

0 session 0 share reconnects
Total vfs operations: 116 maximum at one time: 2

Max requests in flight: 3
1) \\\\10.9.9.1\\share
SMBs: 912 since 2026-11-22 21:17:13 UTC
Bytes read: 65536  Bytes written: 4096
Open files: 0 total (local), 0 open on server
TreeConnects: 1 total 0 failed
2) \\\\10.9.9.1\\second share\tDISCONNECTED\x20
SMBs: 7
TreeConnects: 1 total 1 failed
3) \\\\10.9.9.1\\share
SMBs: 8
"""
_TABLE = """\
Total time spent processing by command. Time units are jiffies (250 per second)
  SMB3 CMD\tNumber\tTotal Time\tFastest\tSlowest
  --------\t------\t----------\t-------\t-------
"""


def _released(count: int) -> ClientTotals:
    return ClientTotals(count, {})


@pytest.mark.parametrize(
    ("kernel", "released", "built"), [("6.1", 243, 233), ("6.12", 271, 266), ("7.2", 180, 175)]
)
def test_real_texts_have_the_requests_of_both_connections(
    kernel: str, released: int, built: int
) -> None:
    """Two connections' tables are summed less ECHO; both mounts of the share likewise."""
    totals = client_totals((_STATS / f"{kernel}.txt").read_text())
    assert totals == ClientTotals(released, {"\\\\10.9.9.1\\share": built})


def test_without_tables_the_shares_count() -> None:
    """Each share has its count; the same share mounted twice has the sum."""
    totals = client_totals(_WITHOUT_TABLES)
    assert totals == ClientTotals(
        None, {"\\\\10.9.9.1\\share": 920, "\\\\10.9.9.1\\second share": 7}
    )
    assert ClientTotals(None, {}).since(totals) == 0
    assert totals.since(ClientTotals(None, {})) == 927
    assert totals.since(ClientTotals(None, {"\\\\10.9.9.1\\share": 900})) == 27


def test_a_client_without_mounts_has_counted_nothing() -> None:
    """The header alone gives nothing."""
    assert client_totals(_WITHOUT_TABLES.split("\nMax", maxsplit=1)[0]) == ClientTotals(None, {})


def test_an_unmounted_share_takes_its_count_with_it() -> None:
    """A total that fell is nothing that happened, whichever mounts are left."""
    twice, once = ClientTotals(None, {"a": 10_000}), ClientTotals(None, {"a": 5000, "b": 3})
    assert once.since(twice) == 3


def test_counts_go_on_beyond_the_kernels_integer() -> None:
    """The kernel prints a signed number of 32 bits; the growth is right across both limits."""
    rows = [f"  9\t\t{count}\t17\t\t0\t1\n" for count in (2**31 - 10, -(2**31) + 20, -5, 7)]
    first, second, third, fourth = (client_totals(_TABLE + row) for row in rows)
    assert second.since(first) == 30
    assert fourth.since(third) == 12


@pytest.mark.parametrize("odd", ["\u2028", "\u0085", "\x0b", "\r"])
def test_names_of_shares_hold_ends_of_lines_that_are_none(odd: str) -> None:
    """A line ends at a newline alone."""
    text = f"1) \\\\nas\\data{odd}SMBs: 99\nSMBs: 7\n"
    assert client_totals(text).by_share == {f"\\\\nas\\data{odd}SMBs: 99": 7}


def test_slow_responses_are_no_row_of_the_table() -> None:
    """The lines below a table that tell of slow commands count nothing."""
    text = _TABLE + "  5\t\t34\t88\t\t1\t12\n  13\t\t4\t9\t\t0\t6\n"
    text += "  2 slow responses from 10.9.9.1 for command 5\n"
    assert client_totals(text).released == 34


def test_a_closed_connection_makes_two_readings_incomparable() -> None:
    """It takes its count with it: what happened in between cannot be told."""
    assert _released(100).since(_released(5000)) is None
    assert _released(5100).since(_released(5000)) == 100


_SMB1 = """\
1) \\\\old\\share
SMBs: 5000{since} Oplocks breaks: 0
Reads:  4000 Bytes: 16384000
Locks: 0 HardLinks: 0 Symlinks: 0
Opens: 400 Closes: 400 Deletes: 0
"""


@pytest.mark.parametrize("since", ["", " since 2026-11-22 21:15:56 UTC"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_smb1_sends_counts_for_nothing(since: str, order: tuple[int, int]) -> None:
    """Nothing of it is recorded, so neither its shares nor its connection's table may count."""
    smb1 = _TABLE + "  4\t\t400\t5\t\t0\t1\n" + _SMB1.format(since=since)
    smb2 = _TABLE + "  8\t\t70\t5\t\t0\t1\n2) \\\\new\\share\nSMBs: 70\nTreeConnects: 1 total\n"
    text = "".join((smb1, smb2)[place] for place in order)
    assert client_totals(text) == ClientTotals(70, {"\\\\new\\share": 70})
    without = "".join(line for line in text.splitlines(keepends=True) if line[0] != " ")
    without = without.replace(_TABLE.splitlines(keepends=True)[0], "")
    assert client_totals(without) == ClientTotals(None, {"\\\\new\\share": 70})
