# SPDX-License-Identifier: MIT
"""``bundles events`` and ``bundles diff``: requests for those without numpy, and what changed."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from aodasync.bundle.event_records import FIELDS
from aodasync.cli import main as cli
from aodasync.cli.bundle_diff import compare
from aodasync.errors import ExitCode
from aodasync.events import EVENT, EventArray, Flag, Kind
from tests.builders import MS, SECOND, request, requests

_MANIFEST: dict[str, Any] = {
    "bundle": "aod_quick_1_latency",
    "clock": {"monotonic_ns": SECOND, "realtime_ns": 1_700_000_000 * SECOND},
    "connections": [{"connection_id": 1, "server": "nas", "address": "192.0.2.1", "port": 445}],
    "shares": [{"session_id": "0x7", "tree_id": 5, "share": "//nas/data"}, 3],
}
_ROWS = requests(
    request(
        "SMB2_WRITE",
        released_ns=SECOND,
        latency_ns=500 * MS,
        received_ns=900 * MS,
        session_id=7,
        tree_id=5,
        tgid=42,
        comm=b"=db,1\xff",
        flags=Flag.SIGNED | Flag.COMPOUND,
    ),
    request("SMB2_READ", released_ns=2 * SECOND, status=0xC0000022),
    request(0, released_ns=3 * SECOND, latency_ns=0, kind=Kind.CONNECT_ERROR, status=110),
)


def _recording(directory: Path, rows: EventArray = _ROWS) -> str:
    directory.mkdir(exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps(_MANIFEST))
    np.save(directory / "events.npy", rows)
    return str(directory)


def test_each_row_is_a_record_with_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time in UTC, phases, the status by name, server and share; a trouble by its kind."""
    assert cli.main(["bundles", "events", _recording(tmp_path), "--json"]) == 0
    write, read, trouble = map(json.loads, capsys.readouterr().out.splitlines())
    assert tuple(write) == FIELDS
    assert write["time"] == "2023-11-14T22:13:20.000000Z"
    assert (write["latency_ms"], write["wire_ms"], write["client_ms"]) == (500.0, 400.0, 100.0)
    assert (write["server"], write["share"], write["tgid"]) == ("nas", "//nas/data", 42)
    assert write["flags"] == ["compound", "signed"]
    assert (read["status"], read["wire_ms"]) == ("STATUS_ACCESS_DENIED", None)
    assert (trouble["kind"], trouble["command"]) == ("connect_error", None)
    assert trouble["status"] == "ETIMEDOUT"


@pytest.mark.parametrize("table", ['[{"file_name": "a/b", "events": [0, 9]}]', "{}", "[", "[3]"])
def test_the_file_of_a_request_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    """Where the bundle says it; a table that is none of ours costs no more than the names."""
    recording = _recording(tmp_path)
    (tmp_path / "files.json").write_text(table)
    assert cli.main(["bundles", "events", recording, "--json"]) == 0
    found = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["a/b" if "a/b" in table else "", "", ""]
    assert cli.main(["bundles", "events", recording]) == 0
    assert ("//nas/data/a/b\n" in capsys.readouterr().out) == ("a/b" in table)


def test_csv_is_read_back_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names first; commas in a process' name do no harm, nor do formulas in a spreadsheet."""
    assert cli.main(["bundles", "events", _recording(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert tuple(rows[0]) == FIELDS
    assert rows[0]["comm"] == "'=db,1\N{REPLACEMENT CHARACTER}"
    assert rows[0]["flags"] == "compound signed"
    assert [row["latency_ms"] for row in rows] == ["500.0", "1.0", "0.0"]


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1+cmd", "-2", "@SUM(A1)", "\t=1"])
def test_no_name_is_a_formula(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A spreadsheet takes it for text; JSON has it as it is."""
    recording = _recording(tmp_path)
    (tmp_path / "files.json").write_text(json.dumps([{"file_name": name, "events": [0]}]))
    assert cli.main(["bundles", "events", recording, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == [f"'{name}", "", ""]
    assert cli.main(["bundles", "events", recording, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["file"] == name


def test_only_the_slow_ones_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As text, with a head; two formats at once are refused."""
    path = _recording(tmp_path)
    assert cli.main(["bundles", "events", path, "--slower", "500"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["time", "command", "latency_ms"]
    assert line.split()[1:3] == ["WRITE", "500.000"]
    assert cli.main(["bundles", "events", path, "--csv", "--json"]) == 64


def test_text_has_the_local_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its offset, as the list of bundles has it; of what never ended there is none."""
    rows = requests(_ROWS, request("SMB2_READ", released_ns=0, latency_ns=0))
    monkeypatch.setenv("TZ", "IST-05:30")
    time.tzset()
    try:
        assert cli.main(["bundles", "events", _recording(tmp_path, rows)]) == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    _, first, *_, last = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "2023-11-15T03:43:20.000000+05:30"
    assert last.split()[0] == "-"


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_without_a_clock_no_time_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    """What came since the host was started is no date of 1970."""
    recording = _recording(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({**_MANIFEST, "clock": None}))
    assert cli.main(["bundles", "events", recording, *form]) == 0
    assert "1970" not in capsys.readouterr().out


def _ended(command: str, latency_ms: int, count: int, comm: bytes = b"db") -> EventArray:
    return requests(
        *(
            request(
                command,
                released_ns=SECOND,
                latency_ns=latency_ms * MS,
                received_ns=SECOND - MS // 2,
                comm=comm,
            )
            for _ in range(count)
        )
    )


def test_what_added_most_time_comes_first() -> None:
    """By command, process and phase; what one of the two lacks is there, too."""
    before = requests(_ended("SMB2_READ", 2, 9), _ended("SMB2_WRITE", 5, 9))
    after = requests(
        _ended("SMB2_WRITE", 6, 9),
        _ended("SMB2_READ", 20, 3),
        _ended("SMB2_CREATE", 1, 1, b"cp"),
        _ended("SMB2_LOCK", 900, 1),
    )
    found = compare(before, after)
    commands = found["command"]
    assert [each["name"] for each in commands] == ["SMB2_READ", "SMB2_WRITE", "SMB2_CREATE"]
    assert (commands[0]["a"]["p50_ms"], commands[0]["b"]["p50_ms"]) == (2.0, 20.0)
    assert (commands[0]["times"], commands[2]["times"]) == (10.0, None)
    assert commands[2]["a"] == {"requests": 0, "p50_ms": None, "p99_ms": None, "max_ms": None}
    assert {each["name"] for each in found["process"]} == {"db", "cp"}
    phases = {each["name"]: each["b"]["p50_ms"] for each in found["phase"]}
    assert phases == {"wire": 5.5, "client": 0.5}


def test_many_commands_take_no_more_than_a_moment() -> None:
    """A damaged bundle may have 65,536: those that took most time are compared."""
    rows = np.zeros(65_536, EVENT)
    rows["command"] = np.arange(65_536)
    rows["issued_ns"] = 1
    rows["released_ns"] = 2 + np.arange(65_536) * MS
    begun_sec = time.process_time()
    found = compare(rows, rows)["command"]
    assert time.process_time() - begun_sec < 2
    assert len(found) == 200
    assert "SMB2_0xffff" in {each["name"] for each in found}


def test_diff_prints_a_table_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two recordings, whatever their files are called; nothing recorded is no error."""
    first = _recording(tmp_path / "a", _ended("SMB2_READ", 2, 9))
    second = _recording(tmp_path / "b", _ended("SMB2_READ", 20, 9))
    empty = _recording(tmp_path / "c", _ROWS[:0])
    assert cli.main(["bundles", "diff", first, second]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A  aod_quick_1_latency\nB  aod_quick_1_latency\n")
    (line,) = [line for line in out.splitlines() if line.startswith("SMB2_READ")]
    assert line.split() == ["SMB2_READ", "9", "9", "2.0", "20.0", "10.0", "2.0", "20.0"]
    assert cli.main(["bundles", "diff", empty, first]) == 0


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_a_long_name_is_not_in_each_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    """Of a server's, a share's and a file's the beginning: a megabyte may be named in each row."""
    path, name = _recording(tmp_path), "n" * 100_000
    server = {"connection_id": 1, "server": name, "address": "::1", "port": 445}
    share = {"session_id": "0x7", "tree_id": 5, "share": name}
    (tmp_path / "manifest.json").write_text(
        json.dumps({"connections": [server], "shares": [share]})
    )
    (tmp_path / "files.json").write_text(json.dumps([{"file_name": name, "events": [0, 1, 2]}]))
    assert cli.main(["bundles", "events", path, *form]) == 0
    assert 3000 < len(capsys.readouterr().out) < 10_000


def test_a_parquet_file_has_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times as timestamps, phases as numbers, nothing for what is not known; never over a file."""
    recording = _recording(tmp_path / "recording")
    target = tmp_path / "events.parquet"
    argv = ["bundles", "events", recording, "--slower", "1", "--parquet", str(target)]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.stat().st_mode & 0o777 == 0o600
    columns = "epoch_ms(time), command, latency_ms, wire_ms, tgid, comm, flags, connection_id"
    found = duckdb.read_parquet(str(target)).select(columns).fetchall()
    write = (1_700_000_000_000, "SMB2_WRITE", 500.0, 400.0, 42, "=db,1\ufffd", "compound signed", 1)
    assert found[0] == write
    assert found[1][3] is None
    assert cli.main(argv) == 1
    assert "exists already" in capsys.readouterr().err


def test_parquet_needs_duckdb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not installed, the error says so, and names CSV; two formats are refused."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    argv = ["bundles", "events", _recording(tmp_path), "--parquet", str(tmp_path / "x")]
    assert cli.main(argv) == ExitCode.USAGE
    assert "DuckDB" in capsys.readouterr().err
    assert cli.main([*argv, "--csv"]) == ExitCode.USAGE
