# SPDX-License-Identifier: MIT
"""``aodasync bundles``: what is there, what it says, whether it is whole."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync import cli
from aodasync.bundle.names import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.commands.bundle_text import describe
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


def _store(output: Path, name: BundleName, manifest: object = _MANIFEST) -> Path:
    batches = output / "batches"
    batches.mkdir(exist_ok=True)
    descriptor = os.open(batches, os.O_RDONLY)
    partial = PartialBundle(name, descriptor)
    partial.create()
    partial.write_events(np.zeros(0, EVENT))
    partial.write("inflight.json", b"[]")
    partial.write("manifest.json", json.dumps(manifest).encode())
    pack(name, batches_fd=descriptor, mtime_sec=7, cancelled=threading.Event())
    partial.remove()
    os.close(descriptor)
    return batches / name.archive


def _bundles(output: Path, *argv: str) -> int:
    return cli.main(["bundles", *argv, "--output-dir", str(output)])


def test_listing_shows_time_anomaly_size_server_and_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word `bundles` is `bundles ls`: a line each, oldest first, broken ones told."""
    _store(tmp_path, BundleName(1_700_000_000_000_000_000, "latency"))
    broken = tmp_path / "batches" / BundleName(1_700_000_001_000_000_000, "hang").archive
    broken.write_bytes(b"no archive")
    assert _bundles(tmp_path) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["TIME", "ANOMALY", "SIZE", "SERVER", "VERDICT", "BUNDLE"]
    assert first.split()[:2] == ["2023-11-14T22:13:20Z", "latency"]
    assert first.split()[4:6] == ["nas", "network"]
    assert second.split()[-2:] == ["unreadable", broken.name]
    assert _bundles(tmp_path, "ls", "--json") == 0
    whole, unreadable = json.loads(capsys.readouterr().out)
    assert (whole["server"], whole["verdict"], whole["error"]) == ("nas", "network", None)
    assert "not a whole bundle" in unreadable["error"]


def test_show_takes_a_path_a_name_or_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All three show the same page: verdict, figures, losses, and what each action came to."""
    _store(tmp_path, BundleName(1, "error"), {})
    path = _store(tmp_path, BundleName(2, "latency"))
    shown = set()
    for named in ((), (str(path),), (path.name,), (path.name.removesuffix(".tar.zst"),)):
        assert _bundles(tmp_path, "show", *named) == 0
        shown.add(capsys.readouterr().out)
    (page,) = shown
    for said in ("network: Segments were lost.", "lost = 7", "ring_full 3", "not installed"):
        assert said in page
    assert "map_full" not in page
    assert _bundles(tmp_path, "show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == _MANIFEST


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
    assert json.loads(capsys.readouterr().out) == [{"path": str(good), "problems": []}]


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
