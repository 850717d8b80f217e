# SPDX-License-Identifier: MIT
"""A report is one page that holds everything, asks for nothing, and survives any bundle."""

from __future__ import annotations

import json
import os
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync import cli
from aodasync.bundle.names import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.events import EVENT, EventArray, Flag, Kind, Outcome
from aodasync.report import render
from aodasync.report.content import Content
from aodasync.report.figures import (
    Moments,
    by_command,
    errors,
    failed,
    moments,
    shares_by_tree,
    sockets,
)
from aodasync.report.timeline import Size, legend, timeline
from tests.unit.builders import MS, SECOND, request, requests

_DECIDED_NS = 100 * SECOND
_MANIFEST: dict[str, Any] = {
    "bundle": "aod_quick_1_latency",
    "anomaly": {"name": "latency", "type": "latency", "server": "nas", "first_ns": 95 * SECOND},
    "verdict": {
        "cause": "network",
        "sentence": "Segments were lost.",
        "refuted_by": "a capture without gaps",
        "evidence": {"phases": {"server_ms": 3.25}},
    },
    "collection": {"decided_monotonic_ns": _DECIDED_NS, "decided_realtime_ns": 10**18},
    "actions": [{"name": "dmesg", "file": "dmesg.log", "bytes": 5, "argv": ["dmesg"]}],
    "losses": {"ring_full": 3},
    "truncations": [{"file": "dmesg.log", "reason": "cut"}],
}
_SOCKETS = """State Recv-Q Send-Q Local Address:Port Peer Address:Port
ESTAB 0      1460   10.9.9.2:44444 10.9.9.1:445 timer:(on,1sec,3) ino:0 sk:1
\t skmem:(r0) cubic rto:804 rtt:3.1/0.5 cwnd:2 retrans:1/17 unacked:4
"""


def _rows() -> EventArray:
    slow = (
        request("SMB2_WRITE", released_ns=n * SECOND, latency_ns=(5 if n < 95 else 900) * MS)
        for n in range(80, 101)
    )
    lost = request("SMB2_READ", released_ns=97 * SECOND, outcome=Outcome.RETRY)
    denied = request("SMB2_CREATE", released_ns=96 * SECOND, status=0xC0000022, tree_id=7)
    noise = request("SMB2_CREATE", released_ns=96 * SECOND, status=0xC0000034)
    reconnect = request(0, released_ns=98 * SECOND, kind=Kind.RECONNECT)
    return requests(*slow, lost, denied, noise, reconnect)


def _content(**changes: Any) -> Content:
    texts = {"dmesg.log": "hello", "sockets.log": _SOCKETS, "netstat.log": ""}
    in_flight = [{"age_ms": 5000.5, "command": "SMB2_READ", "comm": "cp", "pid": 4}]
    return Content(
        **{
            "manifest": _MANIFEST,
            "rows": _rows(),
            "in_flight": in_flight,
            "texts": texts,
            **changes,
        }
    )


class _Strict(HTMLParser):
    """Minds tags that do not close, and collects what could reach out."""

    _VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.reaching: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._VOID:
            self.open.append(tag)
        odd = [name for name, _ in attrs if name in {"src", "href", "srcset"} or name[:2] == "on"]
        if odd or tag in {"script", "link", "iframe", "object", "img"}:
            self.reaching.append(f"{tag} {odd}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self._VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _check(page: str) -> None:
    strict = _Strict()
    strict.feed(page)
    strict.close()
    assert strict.open == []
    assert strict.reaching == []
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_the_page_says_it_all_and_needs_nothing() -> None:
    """Verdict, figures, requests in flight, errors, TCP, texts, losses; no script, no link."""
    page = render(_content())
    _check(page)
    for said in (
        *("Segments were lost.", "a capture without gaps", "phases server ms", "3.25"),
        *("5000.5", "STATUS_ACCESS_DENIED", "no response: retry", "10.9.9.1:445", "1/17"),
        *("hello", "ring_full", "latency \N{MIDDLE DOT} nas", "reconnect"),
    ):
        assert said in page
    assert "STATUS_OBJECT_NAME_NOT_FOUND" not in page


@pytest.mark.parametrize(
    "hostile", ["</pre><script>alert(1)</script>", '"><b onclick=x>', "\x00\x1b"]
)
def test_hostile_texts_stay_texts(hostile: str) -> None:
    """Whatever names and logs contain, nothing of it becomes part of the page."""
    manifest = {
        **_MANIFEST,
        "bundle": hostile,
        "host": hostile,
        "verdict": {"cause": hostile, "sentence": hostile, "evidence": {hostile: hostile}},
        "actions": [{"name": hostile, "file": hostile, "argv": [hostile], "error": hostile}],
        "losses": {hostile: hostile},
    }
    rows = _rows()
    rows["comm"] = hostile.encode()[:16]
    in_flight = [{"age_ms": hostile, "comm": hostile}]
    page = render(_content(manifest=manifest, rows=rows, texts={hostile: hostile}, in_flight=[]))
    _check(page)
    _check(render(_content(in_flight=[{**in_flight[0], "age_ms": 1.0}])))
    assert "\x1b" not in page


@pytest.mark.parametrize("value", ["x", -3, 1 << 70, None, [], [1], [{}], {"a": {"b": [1.5]}}])
def test_any_manifest_makes_a_page(value: object) -> None:
    """A bundle is untrusted: keys of wrong shape make a poorer page, never an error."""
    for holder in (dict.fromkeys(_MANIFEST, value), {k: {"x": value} for k in _MANIFEST}):
        _check(render(_content(manifest=holder)))
    shapes = {"count": value, "decided_realtime_ns": value, "first_ns": value, "file": value}
    _check(
        render(_content(manifest=dict.fromkeys(_MANIFEST, shapes), in_flight=[{"age_ms": value}]))
    )


@pytest.mark.parametrize("rows", [np.zeros(0, EVENT), np.zeros(3, EVENT), _rows()[:1]])
def test_hardly_any_requests_make_a_page(rows: EventArray) -> None:
    """No request, only ones in flight, a single one."""
    _check(render(_content(rows=rows, in_flight=[], texts={}, manifest={})))


def test_before_and_during_are_told_apart() -> None:
    """Figures of a command: calm before, slow from the first sign on."""
    figures = {row.command: row for row in by_command(_rows(), 95 * SECOND)}
    write = figures["SMB2_WRITE"]
    assert (write.count, write.median_ms) == ((15, 6), (5.0, 900.0))
    assert figures["SMB2_READ"].count == (0, 1)
    assert next(iter(figures)) == "SMB2_WRITE"


def test_errors_are_named_with_their_share() -> None:
    """Manifest or DebugData give the share of a tree id; expected noise is left out."""
    debug = "\n\t1) \\\\nas\\share Mounts: 1\n\tPathComponentMax: 255\n\ttid: 0x7\tMaximal\n"
    shares = shares_by_tree({}, {"debug_data.log": debug})
    told = {"shares": [{"session_id": "0x1", "tree_id": 7, "share": "//nas/told"}, 3]}
    assert shares_by_tree(told, {"debug_data.log": debug}) == {7: "//nas/told"}
    assert errors(_rows(), shares) == [
        ("no response: retry", "SMB2_READ", "", 1),
        ("STATUS_ACCESS_DENIED", "SMB2_CREATE", r"\\nas\share", 1),
    ]


def test_parts_of_a_compound_that_found_no_file_are_no_errors() -> None:
    """A look-up fails as a whole: QUERY_INFO and CLOSE after the CREATE, too."""
    missing = {"status": 0xC0000034, "flags": Flag.COMPOUND, "released_ns": SECOND}
    lookup = requests(*(request(c, **missing) for c in ("SMB2_QUERY_INFO", "SMB2_CLOSE")))
    alone = request("SMB2_CLOSE", status=0xC0000034, released_ns=SECOND)
    assert failed(requests(lookup, alone)).tolist() == [False, False, True]


def test_a_snapshots_trouble_is_its_last_ten_seconds() -> None:
    """Without a finding, what was just before is held against what came earlier."""
    manifest = {"collection": {"decided_monotonic_ns": _DECIDED_NS}}
    assert moments(manifest, _rows()) == Moments(90 * SECOND, _DECIDED_NS)


def test_sockets_are_read_from_ss() -> None:
    """State, queues and the figures of the line below, by socket."""
    (socket,) = sockets(_SOCKETS)
    assert "state=ESTAB recv_q=0 send_q=1460 peer=10.9.9.1:445" in _joined(socket)
    assert "rto=804 rtt=3.1/0.5 cwnd=2 retrans=1/17 unacked=4" in _joined(socket)


def _joined(figures: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in figures.items())


def test_many_requests_make_a_page_that_a_phone_can_open() -> None:
    """50,000 requests: within seconds, under two megabytes, the slowest of all still marked."""
    rows = np.zeros(50_000, EVENT)
    rows["released_ns"] = np.arange(1, 50_001) * MS
    rows["issued_ns"] = rows["released_ns"] - 1000
    rows["command"] = np.arange(50_000) % 12
    rows["issued_ns"][777] = 1
    begun = time.perf_counter()
    drawn = timeline(rows, [60_000.0], Moments(30 * SECOND, 40 * SECOND), Size(1000, 400, 10))
    assert time.perf_counter() - begun < 10
    assert len(drawn) < 1_000_000
    assert "SMB2_CANCEL" not in drawn
    assert "778 ms" in drawn
    assert "in flight for 60 s" in drawn
    assert legend(rows)[-1] == ("c7", "others")


def test_what_waited_for_long_at_will_is_no_slow_request() -> None:
    """The axis reaches it, in seconds; the figure of the slowest is that of another."""
    waited = request("SMB2_CHANGE_NOTIFY", released_ns=1401 * SECOND, latency_ns=1400 * SECOND)
    slow = request("SMB2_READ", released_ns=90 * SECOND, latency_ns=700 * MS)
    rows = requests(slow, waited)
    drawn = timeline(rows, [], Moments(30 * SECOND, 40 * SECOND), Size(1000, 400, 10))
    assert ">1000 s<" in drawn
    assert "e+" not in drawn
    assert "700</b><span>slowest, ms" in render(_content(rows=rows))


def test_the_command_writes_the_page_of_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the caller, or where -o says, or to standard output; a bad bundle is one line."""
    name = BundleName(1, "latency")
    (tmp_path / "batches").mkdir()
    descriptor = os.open(tmp_path / "batches", os.O_RDONLY)
    partial = PartialBundle(name, descriptor)
    partial.create()
    partial.write_events(_rows())
    partial.write("inflight.json", b"{")
    partial.write("dmesg.log", b"x" * 600_000)
    partial.write("manifest.json", json.dumps(_MANIFEST).encode())
    pack(name, batches_fd=descriptor, mtime_sec=7, cancelled=threading.Event())
    partial.remove()
    os.close(descriptor)
    monkeypatch.chdir(tmp_path)
    output = ["--output-dir", str(tmp_path)]
    assert cli.main(["report", *output]) == 0
    assert capsys.readouterr().out == f"{name}.html\n"
    page = (tmp_path / f"{name}.html").read_text()
    _check(page)
    assert "bytes only in the bundle" in page
    assert cli.main(["report", str(name), "-o", "-", *output]) == 0
    assert capsys.readouterr().out == page
    assert cli.main(["report", "none.tar.zst", *output]) == 1
    assert cli.main(["report", "-o", "/nonexistent/x", *output]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "hint: name another file with -o" in err
