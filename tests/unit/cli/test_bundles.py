# SPDX-License-Identifier: MIT
"""``aodasync bundles``: what is there, what it says, whether it is whole."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.cli import main as cli
from aodasync.cli.bundle_summary import summary
from aodasync.cli.bundle_text import describe
from aodasync.events import EVENT

_MANIFEST: dict[str, Any] = {
    "bundle": "x",
    "anomaly": {"name": "latency", "type": "latency", "server": "nas", "count": 4},
    "verdict": {"cause": "network", "sentence": "Segments were lost.", "evidence": {"lost": 7}},
    "collection": {"decided_realtime_ns": 1_700_000_000_000_000_000},
    "actions": [{"name": "dmesg", "file": None, "bytes": 0, "error": "not installed"}],
    "events": {"count": 0, "first_ns": 0, "last_ns": 10**9},
    "losses": {"ring_full": 3, "map_full": 0},
}


def _store(output: Path, name: BundleName, manifest: dict[str, Any] = _MANIFEST) -> Path:
    batches = output / "batches"
    batches.mkdir(exist_ok=True)
    descriptor = os.open(batches, os.O_RDONLY)
    partial = PartialBundle(name, descriptor)
    partial.create()
    partial.write_events(np.zeros(0, EVENT))
    partial.write("inflight.json", b"[]")
    partial.write("manifest.json", json.dumps({**manifest, "bundle": str(name)}).encode())
    pack(name, batches_fd=descriptor, mtime_sec=7, cancelled=threading.Event())
    partial.remove()
    os.close(descriptor)
    return batches / name.archive


def _bundles(output: Path, *argv: str) -> int:
    return cli.main(["bundles", *argv, "--output-dir", str(output)])


def test_listing_shows_time_anomaly_size_server_and_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word `bundles` is `bundles ls`: a line each, newest first, broken ones told."""
    _store(tmp_path, BundleName(1_700_000_000_000_000_000, "latency"))
    broken = tmp_path / "batches" / BundleName(1_700_000_001_000_000_000, "hang").archive
    broken.write_bytes(b"no archive")
    assert _bundles(tmp_path) == 0
    head, second, first = capsys.readouterr().out.splitlines()
    assert head.split() == ["TIME", "ANOMALY", "SIZE", "SERVER", "VERDICT", "BUNDLE"]
    assert first.split()[:2] == ["2023-11-14T22:13:20Z", "latency"]
    assert first.split()[4:6] == ["nas", "network"]
    assert second.split()[-2:] == ["unreadable", broken.name]
    assert _bundles(tmp_path, "ls", "--json") == 0
    unreadable, whole = json.loads(capsys.readouterr().out)
    assert (whole["server"], whole["verdict"], whole["error"]) == ("nas", "network", None)
    assert "not a whole bundle" in unreadable["error"]


def test_the_list_can_be_narrowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To the newest, to a span of time, an anomaly, a server; `list` is `ls`."""
    second_ns = 1_000_000_000
    old = _store(tmp_path, BundleName(1_700_000_000 * second_ns, "latency"))
    new = _store(tmp_path, BundleName(1_700_000_600 * second_ns, "hang"))
    for argv, paths in (
        (["-n", "1"], [new]),
        (["--anomaly", "late"], [old]),
        (["--server", "NAS"], [new, old]),
        (["--server", "other"], []),
        (["--since", "2023-11-15"], []),
    ):
        assert _bundles(tmp_path, "list", "--json", *argv) == 0
        assert [each["path"] for each in json.loads(capsys.readouterr().out)] == [*map(str, paths)]


def test_a_list_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: a program sees no line more."""
    (tmp_path / "batches").mkdir()
    for argv in ((), ("ls", "-n", "3"), ("verify",)):
        assert _bundles(tmp_path, *argv) == 0
        assert capsys.readouterr() == ("", f"no bundle in {tmp_path}\n")
    _store(tmp_path, BundleName(1_700_000_000_000_000_000, "latency"))
    assert _bundles(tmp_path, "ls", "--anomaly", "hang") == 0
    assert capsys.readouterr() == ("", f"none of the 1 bundles in {tmp_path} fits\n")
    assert _bundles(tmp_path, "ls", "--anomaly", "LAT") == 0
    assert capsys.readouterr().out


def test_options_of_the_list_need_no_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bundles -n 1` is `bundles ls -n 1`; before an action, options stay those of bundles."""
    for second in (0, 1):
        _store(tmp_path, BundleName(1_700_000_000_000_000_000 + second * 10**9, "latency"))
    for argv in (("-n", "1"), ("--since", "2023-11-14T22:13:21Z"), ("--server", "NAS", "-n", "1")):
        assert _bundles(tmp_path, *argv) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2
    assert _bundles(tmp_path, "--json", "show") == 0
    assert json.loads(capsys.readouterr().out)["anomaly"]["server"] == "nas"
    assert _bundles(tmp_path, "--frobnicate") == 64
    assert "(hint: aodasync bundles --help)" in capsys.readouterr().err


def test_a_table_has_the_local_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its offset, as --since takes it; JSON keeps UTC."""
    _store(tmp_path, BundleName(1_700_000_000_000_000_000, "latency"))
    monkeypatch.setenv("TZ", "IST-05:30")
    time.tzset()
    try:
        assert _bundles(tmp_path) == 0
        assert "2023-11-15T03:43:20+05:30" in capsys.readouterr().out
        assert _bundles(tmp_path, "--json") == 0
        assert "2023-11-14T22:13:20Z" in capsys.readouterr().out
        assert _bundles(tmp_path, "ls", "--since", "2023-11-15T03:43:20+05:30", "--json") == 0
        assert len(json.loads(capsys.readouterr().out)) == 1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_show_takes_a_path_a_name_or_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All show the same page; with --all verdict, figures, losses, and each action's end."""
    _store(tmp_path, BundleName(1, "error"), {})
    path = _store(tmp_path, BundleName(2, "latency"))
    shown = set()
    named_so = (str(path), path.name, path.name.removesuffix(".tar.zst"), "latest", "2", "2_lat")
    for named in ((), *((name,) for name in named_so)):
        assert _bundles(tmp_path, "show", "--all", *named) == 0
        shown.add(capsys.readouterr().out)
    (page,) = shown
    for said in ("network: Segments were lost.", "lost = 7", "ring_full 3", "not installed"):
        assert said in page
    assert "map_full" not in page
    assert _bundles(tmp_path, "show", "--json") == 0
    shown_json = json.loads(capsys.readouterr().out)
    assert shown_json == {**_MANIFEST, "bundle": "aod_quick_2_latency"}


_FULL: dict[str, Any] = {
    "bundle": "aod_quick_2_latency",
    "host": "client7",
    "kernel": {"release": "6.12.1"},
    "anomaly": {"name": "latency", "server": "nas", "count": 1204, "commands": ["SMB2_WRITE"]},
    "episode": {"began_realtime_ns": 10**18, "ended_realtime_ns": None, "worst_ms": 568.0},
    "verdict": {
        "cause": "server",
        "confidence": "high",
        "sentence": "It took 318 ms to answer.",
        "refuted_by": "a capture at the server",
        "next": ["on nas: iostat -x 1 5"],
    },
    "who": {"processes": [{"name": "postgres", "pid": 2210, "share_of_time": 0.71}]},
    "actions": [{"name": "dmesg", "error": "not installed"}],
    "events": {"count": 50, "first_ns": 0, "last_ns": 9 * 10**9},
    "in_flight": {"count": 12},
    "losses": {"ring_full": 3, "map_full": 0},
}


def test_show_says_what_matters_on_half_a_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What, when (local and UTC), why, who, what next; what it holds, lacks and lost."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        text = summary(_FULL)
    finally:
        monkeypatch.undo()
        time.tzset()
    for said in (
        *("latency on nas since 2001-09-09 02:46:40 CET (01:46:40 UTC)", "still open when"),
        *("server (high): It took 318 ms", "postgres 2210 (71%)", "iostat", "client7"),
        *("50 requests over 9.0 s, 12 in flight", "dmesg (not installed)", "ring_full 3"),
    ):
        assert said in text, said
    assert "map_full" not in text
    assert len(text.splitlines()) <= 14
    snapshot = summary({"collection": {"decided_realtime_ns": 10**18}})
    assert "2001-09-09" in snapshot
    assert "on request" in snapshot


@pytest.mark.parametrize("value", ["x", -3, 1 << 70, None, [], [1], [{}], {"count": "x", "a": []}])
def test_any_manifest_makes_half_a_screen(value: object) -> None:
    """A bundle is untrusted: keys of the wrong shape, long texts and control characters."""
    assert summary(dict.fromkeys(_FULL, value)).endswith("\n")
    inner = dict.fromkeys(
        ("server", "count", "name", "first_ns", "sentence", "next", "release"), value
    )
    assert summary({**_FULL, **dict.fromkeys(("anomaly", "verdict", "kernel"), inner)})
    narrow = summary({**_FULL, "host": "a host of a long name"}, 40).splitlines()
    assert max(map(len, narrow)) <= 40
    long = summary({**_FULL, "verdict": {"sentence": "\x1b " * 10**6}, "host": "h" * 10**6})
    assert len(long) < 4000
    assert "\x1b" not in long


def test_the_beginning_of_a_name_must_be_that_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several, the user is told which there are; of none, that there is none."""
    for realtime_ns in (177, 178):
        _store(tmp_path, BundleName(realtime_ns, "latency"))
    assert _bundles(tmp_path, "show", "178") == 0
    assert _bundles(tmp_path, "show", "17") == 64
    assert "2 bundles begin with '17' (hint: one of aod_quick_177" in capsys.readouterr().err
    assert _bundles(tmp_path, "show", "9") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_word_that_was_mistyped_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the one that was probably meant."""
    assert cli.main(["bundles", "shwo"]) == 64
    assert "did you mean show?" in capsys.readouterr().err
    assert cli.main(["bundels"]) == 64
    assert "did you mean bundles?" in capsys.readouterr().err


def test_verify_exits_1_when_one_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are checked, each has its line; a damaged one makes the exit code 1."""
    good = _store(tmp_path, BundleName(1, "error"))
    assert _bundles(tmp_path, "verify") == 0
    bad = _store(tmp_path, BundleName(2, "latency"))
    bad.write_bytes(bad.read_bytes()[:-3])
    capsys.readouterr()
    assert _bundles(tmp_path, "verify") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{good.name}: ok"
    assert lines[1].startswith(f"{bad.name}: ")
    assert _bundles(tmp_path, "verify", good.name, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"path": str(good), "problems": [], "note": ""}]


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No directory, no bundle, no such bundle: one line, exit 1."""
    (tmp_path / "empty").mkdir()
    for output, *argv in (("none", "ls"), ("empty", "show"), ("empty", "show", "nothing.tar.zst")):
        assert _bundles(tmp_path / output, *argv) == 1
        err = capsys.readouterr().err
        assert err.startswith("aodasync: error: ")
        assert err.count("\n") == 1
    assert _bundles(tmp_path / "empty", "ls") == 0
    assert _bundles(tmp_path / "empty", "verify") == 0


def test_who_may_not_look_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bundles are root's: anybody else gets exit 77 and a hint."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert _bundles(tmp_path) == 77
    assert "permission denied (hint: sudo" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["x", 3, None, [], [1], {"count": [1]}, {"a": {"b": []}}])
def test_any_manifest_makes_a_page(value: object) -> None:
    """A bundle is untrusted: keys of the wrong shape, and control characters, harm nobody."""
    page = describe(dict.fromkeys((*_MANIFEST, "kernel", "truncations"), value))
    assert page.endswith("\n")
    assert "\x1b" not in describe({"host": "\x1b[31mred"})
