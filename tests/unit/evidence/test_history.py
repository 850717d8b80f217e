# SPDX-License-Identifier: MIT
"""The history of episodes survives crashes, stays bounded, and is read whatever is in it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.evidence.history import FILE, MAX_BYTES, append, compact, episodes, read

_DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def directory_fd(tmp_path: Path) -> Iterator[int]:
    """The history's directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def _began(number: int, *, run: str = "aa", at_ns: int = 10, **values: Any) -> dict[str, Any]:
    known = {"anomaly": "hang", "server": "nas", "began_ns": at_ns}
    return {"record": "began", "id": f"{run}-{number}", **known, **values}


def _lines(*records: dict[str, Any]) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


def test_records_of_an_episode_make_one() -> None:
    """What came later counts: the end's figures, the bundle's verdict."""
    (episode,) = episodes(
        _lines(
            {"record": "agent", "run": "aa"},
            _began(1, count=3, commands=["SMB2_READ"]),
            {"record": "bundle", "id": "aa-1", "bundle": "b", "verdict": {"cause": "server"}},
            {"record": "ended", "id": "aa-1", "ended_ns": 50, "count": 9},
        )
    )
    assert (episode.count, episode.bundle, episode.ended_ns) == (9, "b", 50)
    assert episode.verdict["cause"] == "server"
    assert episode.commands == ("SMB2_READ",)
    assert not episode.open


def test_an_episode_of_an_agent_that_ended_is_cut_off() -> None:
    """Only those of the last agent are open."""
    first, second = episodes(
        _lines(
            {"record": "agent", "run": "aa"},
            _began(1),
            {"record": "agent", "run": "bb"},
            _began(1, run="bb", at_ns=20),
        )
    )
    assert (first.open, first.cut_off) == (False, True)
    assert (second.open, second.cut_off) == (True, False)


@given(st.lists(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode))))
def test_any_bytes_are_read(lines: list[bytes]) -> None:
    """Nothing that stands in the file raises, and a whole record beside it counts."""
    found = episodes([*lines, *_lines(_began(7))])
    assert "aa-7" in {episode.id for episode in found}


@given(st.dictionaries(st.sampled_from(["count", "commands", "began_ns", "who"]), st.none()))
def test_values_of_a_wrong_type_are_left_out(values: dict[str, Any]) -> None:
    """The record's other values count."""
    assert all(e.anomaly == "hang" for e in episodes(_lines({**_began(1), **values})))


def test_a_line_that_a_crash_cut_off_costs_no_other(tmp_path: Path, directory_fd: int) -> None:
    """The next record starts on a line of its own."""
    append(directory_fd, _began(1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"record": "began", "id": "aa-2", "anom')
    append(directory_fd, _began(3))
    assert [episode.id for episode in read(tmp_path)] == ["aa-1", "aa-3"]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_what_is_older_than_90_days_goes(tmp_path: Path, directory_fd: int) -> None:
    """Younger episodes stay, and so does the file if nothing is to go."""
    append(directory_fd, _began(1, at_ns=5 * _DAY_NS))
    append(directory_fd, _began(2, at_ns=60 * _DAY_NS))
    compact(directory_fd, now_ns=100 * _DAY_NS)
    assert [episode.id for episode in read(tmp_path)] == ["aa-2"]
    inode = (tmp_path / FILE).stat().st_ino
    compact(directory_fd, now_ns=100 * _DAY_NS)
    assert (tmp_path / FILE).stat().st_ino == inode


def test_a_clock_that_went_back_deletes_nothing(tmp_path: Path, directory_fd: int) -> None:
    """An episode of the future stays."""
    append(directory_fd, _began(1, at_ns=500 * _DAY_NS))
    compact(directory_fd, now_ns=_DAY_NS)
    assert len(read(tmp_path)) == 1


def test_the_file_is_bounded(tmp_path: Path, directory_fd: int) -> None:
    """Over the bound, the oldest half goes."""
    line = b"\n" + _lines(_began(1, server="n" * 1000))[0] + b"\n"
    with (tmp_path / FILE).open("wb") as file:
        file.writelines([line] * (MAX_BYTES // len(line) + 10))
    append(directory_fd, _began(2, at_ns=20))
    compact(directory_fd, now_ns=_DAY_NS)
    assert (tmp_path / FILE).stat().st_size <= MAX_BYTES // 2
    assert read(tmp_path)[-1].id == "aa-2"


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path, directory_fd: int) -> None:
    """Writing fails, and the target is as it was."""
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / FILE).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        append(directory_fd, _began(1))
    assert target.read_text() == "kept"


@pytest.mark.parametrize(
    "line",
    [
        b'{"record": "began", "id": [1], "anomaly": "a", "server": "s", "began_ns": 1}',
        b'{"record": "began", "id": "a", "anomaly": "a", "server": "s", "began_ns": %d}' % 10**400,
        b'{"record": "began", "id": "a", "anomaly": "a", "server": "s", "began_ns": 1, "who": %s}'
        % (b'{"a":' * 900 + b"1" + b"}" * 900),
        b'{"record": "began", "id": "a", "server": "%s"}' % (b"s" * MAX_BYTES),
        b"{}\n" * 2_500_000,
    ],
    ids=["an id that is none", "a number of 401 digits", "nested deeply", "long", "millions"],
)
def test_what_nobody_here_writes_is_skipped_and_goes(
    tmp_path: Path, directory_fd: int, line: bytes
) -> None:
    """In moments; the record after it is read, and is all that a compaction keeps."""
    (tmp_path / FILE).write_bytes(line + b"\n")
    append(directory_fd, _began(1, at_ns=_DAY_NS))
    begun_sec = time.process_time()
    assert [episode.id for episode in read(tmp_path)] == ["aa-1"]
    compact(directory_fd, now_ns=_DAY_NS)
    assert [episode.id for episode in read(tmp_path)] == ["aa-1"]
    assert (tmp_path / FILE).stat().st_size < 1000
    assert time.process_time() - begun_sec < 5
