# SPDX-License-Identifier: MIT
"""A report is one page that holds everything, asks for nothing, and survives any bundle."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.cli import main as cli
from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.report import render
from aodasync.report.content import Content
from aodasync.report.groups import by_command
from aodasync.report.rows import MOST_ROWS
from aodasync.report.stacks import folded
from aodasync.report.summary import (
    Moments,
    errors,
    moments,
    shares_by_tree,
    sockets,
)
from aodasync.report.timeline import Size, legend, timeline
from aodasync.report.waterfall import KEYS, slowest, waterfall
from tests.builders import MS, SECOND, request, requests

_DECIDED_NS = 100 * SECOND
_MANIFEST: dict[str, Any] = {
    "bundle": "aod_quick_1_latency",
    "anomaly": {"name": "latency", "type": "latency", "server": "nas", "first_ns": 95 * SECOND},
    "verdict": {
        "cause": "network",
        "sentence": "Segments were lost.",
        "refuted_by": "a capture without gaps",
        "evidence": {"phases": {"server_ms": 3.25}, "not_picked_up": 4},
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

    _VOID = frozenset({"input", "meta"})
    # The data, and our own.
    _SCRIPTS: tuple[list[tuple[str, str | None]], ...] = (
        [("type", "application/json"), ("id", "rows")],
        [],
    )

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.reaching: list[str] = []
        self.scripts: list[list[tuple[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._VOID:
            self.open.append(tag)
        odd = [name for name, _ in attrs if name in {"src", "href", "srcset"} or name[:2] == "on"]
        if odd or tag in {"link", "iframe", "object", "img"}:
            self.reaching.append(f"{tag} {odd}")
        if tag == "script":
            self.scripts.append(attrs)

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
    assert strict.scripts in ([], [*_Strict._SCRIPTS])
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_the_page_says_it_all_and_needs_nothing() -> None:
    """Verdict, figures, requests in flight, errors, TCP, texts, losses; no link."""
    page = render(_content())
    _check(page)
    for said in (
        *("Segments were lost.", "a capture without gaps", "phases server ms", "3.25"),
        *("5000.5", "STATUS_ACCESS_DENIED", "no response: retry", "10.9.9.1:445", "1/17"),
        *(
            "hello",
            "responses not picked up",
            "ring_full",
            "latency \N{MIDDLE DOT} nas",
            "reconnect",
        ),
    ):
        assert said in page
    seen = page.partition("<script")[0]
    assert "STATUS_OBJECT_NAME_NOT_FOUND" not in seen


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


_WHO: dict[str, Any] = {
    "processes": [
        {"name": "postgres", "pid": 2210, "share_of_time": 0.71},
        {"name": "rsync", "pid": 8841, "share_of_time": 0.22},
    ],
    "shares": [{"name": "//nas/data", "share_of_time": 1.0}],
}


def test_the_first_screen_says_what_when_who_how_bad_and_what_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In words, with local time and UTC; a replay is said to be one."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        verdict = {**_MANIFEST["verdict"], "confidence": "high", "next": ["here: ping -c 20 nas"]}
        manifest = {**_MANIFEST, "verdict": verdict, "who": _WHO}
        head = render(_content(manifest=manifest)).partition("<h2>Latency over time")[0]
        replayed = render(
            _content(manifest={**manifest, "live": False, "replayed": {"recording": "x"}})
        )
    finally:
        monkeypatch.undo()
        time.tzset()
    for said in (
        *("network (high confidence)", "postgres 2210 (71%), rsync 8841 (22%)", "//nas/data"),
        "began 2001-09-09 02:46:35 CET (2001-09-09 01:46:35 UTC), noticed after 5 s",
        "WRITE takes 900 ms (median), 180 times the 5 ms of before; the worst 900 ms",
        "here: ping -c 20 nas",
    ):
        assert said in head
    assert "A replay of" not in head
    assert "A replay of the recording x" in replayed


def test_the_slowest_requests_are_drawn_by_phase() -> None:
    """Fifty at most, in the order of their issue; what may wait for ever is left out."""
    answered = request(
        "SMB2_WRITE", released_ns=99 * SECOND, latency_ns=4 * SECOND, tree_id=7, tgid=12
    )
    answered["sent_ns"], answered["received_ns"] = 96 * SECOND, 98 * SECOND
    waiting = request("SMB2_CHANGE_NOTIFY", released_ns=99 * SECOND, latency_ns=90 * SECOND)
    many = [request(released_ns=96 * SECOND, latency_ns=n * MS) for n in range(1, 60)]
    rows = slowest(requests(answered, waiting, *many), 95 * SECOND)
    assert len(rows) == 50
    assert rows["issued_ns"].tolist() == sorted(rows["issued_ns"].tolist())
    files = {(1, 0, 95 * SECOND): "deep/down/a rather long name.txt"}
    drawn = waterfall(rows, {7: "\\\\nas\\data"}, files)
    assert "WRITE data/deep/down/a rather long name.txt test 12: 4 s" in drawn
    assert "WRITE data test 12 a rather long..." in drawn
    assert [drawn.count(f'<rect class="{kind}"') for kind, _ in KEYS] == [1, 1, 1, 49]
    assert "CHANGE_NOTIFY" not in drawn
    assert waterfall(rows[:0], {}, {}) == ""


def test_groups_are_sorted_by_the_time_that_they_added() -> None:
    """A slow command that always was slow comes after one that became so; failures count."""
    rows = requests(
        *(request("SMB2_READ", released_ns=n * SECOND, latency_ns=800 * MS) for n in range(90, 99)),
        *(request("SMB2_WRITE", released_ns=n * SECOND, latency_ns=MS) for n in range(90, 95)),
        *(request("SMB2_WRITE", released_ns=n * SECOND, latency_ns=500 * MS) for n in (96, 97)),
        request("SMB2_WRITE", released_ns=98 * SECOND, latency_ns=MS, status=0xC0000022),
    )
    write, read = by_command(rows, 95 * SECOND)
    assert (write.name, write.added_ms, write.sum_ms, write.failed) == ("SMB2_WRITE", 998, 1001, 1)
    assert (read.name, read.added_ms) == ("SMB2_READ", 0)


def test_errors_of_the_episode_are_apart_from_those_before() -> None:
    """The same failure is counted on both sides of the beginning."""
    denied = {"status": 0xC0000022}
    rows = requests(
        *(request("SMB2_CREATE", released_ns=n * SECOND, **denied) for n in (90, 91, 96))
    )
    page = render(_content(rows=rows))
    since, before = page.partition("<h3>since it began")[2].split("<h3>before", 1)
    assert '<td class="n">1</td>' in since
    assert '<td class="n">2</td>' in before.partition("</table>")[0]


def test_threads_at_the_same_place_are_shown_once() -> None:
    """By the functions on their stacks, whatever the offsets; most threads first."""
    waits = "[<0>] wait_for_response+0x{0}/0xe0 [cifs]\n[<0>] compound_send_recv+0x{0}/0x2 [cifs]\n"
    log = "3 tasks, 3 shown\n" + "\n".join(
        [
            "==> pid 1 tid 1 cifsd state S wchan x <==\n[<0>] sk_wait_data+0x1/0x2\n",
            *(f"==> pid {n} tid {n} cp state D wchan y <==\n{waits.format(n)}" for n in (7, 8)),
        ]
    )
    (first, titles), (second, _) = folded(log)
    assert first == ("wait_for_response", "compound_send_recv")
    assert titles == [f"pid {n} tid {n} cp state D wchan y" for n in (7, 8)]
    assert second == ("sk_wait_data",)
    page = render(_content(texts={"stacks.log": log}))
    _check(page)
    assert "<b>2 threads</b><span>wait_for_response &lt; compound_send_recv</span>" in page
    assert folded("") == folded("\n==> x <==\n") == []


def test_the_window_is_what_happened_and_the_strip_is_all() -> None:
    """Half a minute before the first sign is drawn; what came earlier is a strip below."""
    rows = requests(
        *(request(released_ns=n * SECOND, latency_ns=MS) for n in range(10, 100)),
    )
    page = render(_content(rows=rows))
    assert "All that was recorded" in page
    assert "All that was recorded" not in render(_content(rows=rows[-20:]))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_style_sheet_and_script_are_known_by_their_hashes() -> None:
    """Nothing but those that are in the page applies; without requests there is no script."""
    page = render(_content())
    style = _hash(page.partition("<style>")[2].partition("</style>")[0])
    script = _hash(page.rpartition("<script>")[2].partition("</script>")[0])
    policy = f"default-src 'none'; style-src {style}"
    assert f'content="{policy}; script-src {script}"' in page
    assert "style=" not in page
    empty = render(_content(rows=_rows()[:0]))
    assert f'content="{policy}"' in empty
    assert "<script" not in empty


def _data(page: str) -> dict[str, Any]:
    block = page.partition('<script type="application/json" id="rows">')[2].partition("</script>")[
        0
    ]
    data: dict[str, Any] = json.loads(block)
    return data


_COLUMNS = (
    *(("time", "<u4"), ("latency", "<u4"), ("wire", "<u4"), ("send", "<u4"), ("process", "<u2")),
    *(("command", "u1"), ("share", "u1"), ("status", "u1"), ("mark", "u1")),
)


def _columns(data: dict[str, Any]) -> dict[str, list[int]]:
    packed = zlib.decompress(base64.b64decode(data["columns"]))
    found, begin = {}, 0
    for name, kind in _COLUMNS:
        found[name] = np.frombuffer(packed, kind, data["count"], begin).tolist()
        begin += np.dtype(kind).itemsize * data["count"]
    assert begin == len(packed)
    return found


def test_the_script_gets_every_request() -> None:
    """Times to the microsecond since the first one, phases, names by their frequency."""
    slow = request(
        "SMB2_WRITE",
        released_ns=99 * SECOND,
        latency_ns=2 * SECOND,
        received_ns=98 * SECOND,
        sent_ns=97 * SECOND + 3000,
        tree_id=7,
        tgid=12,
        status=0xC0000022,
    )
    many = [request(released_ns=n * SECOND, tgid=5) for n in (90, 91)]
    manifest = {**_MANIFEST, "shares": [{"session_id": "0x0", "tree_id": 7, "share": "//nas/a"}]}
    data = _data(render(_content(rows=requests(*many, slow), manifest=manifest)))

    columns = _columns(data)
    assert (data["tick_ms"], data["count"]) == (0.001, 3)
    assert columns["time"] == [0, 1_000_000, 8_000_000]
    assert columns["latency"] == [1000, 1000, 2_000_000]
    assert columns["wire"] == [0xFFFFFFFF, 0xFFFFFFFF, 1_000_000]
    assert columns["send"][-1] == 3
    assert columns["mark"] == [0, 0, 1]
    named = {
        name: [data[names][place] for place in columns[name]]
        for name, names in (
            *(("command", "commands"), ("process", "processes")),
            *(("share", "shares"), ("status", "statuses")),
        )
    }
    assert named["command"] == ["READ", "READ", "WRITE"]
    assert named["process"] == ["test 5", "test 5", "test 12"]
    assert named["share"] == ["", "", "//nas/a"]
    assert named["status"][-1] == "STATUS_ACCESS_DENIED"
    assert (data["began_ms"], data["decided_ms"], data["ended_ms"]) == (5000, 10_000, None)
    assert data["clock_ms"] == 10**12 - 10_000


def test_the_script_gets_so_many_at_most() -> None:
    """The slowest are among them, and names beyond a number are one."""
    rows = np.zeros(MOST_ROWS + 5000, EVENT)
    rows["released_ns"] = SECOND + np.arange(len(rows)) * MS
    rows["issued_ns"] = rows["released_ns"] - 1000
    rows["issued_ns"][777] = 1
    rows["tgid"] = np.arange(len(rows)) % 1000
    data = _data(render(_content(rows=rows)))
    latencies = _columns(data)["latency"]
    assert MOST_ROWS * 2 // 3 <= len(latencies) <= MOST_ROWS
    assert max(latencies) == 1_777_000 - 1
    assert len(data["processes"]) == 251
    assert data["processes"][-1] == "others"


def test_an_episode_that_ended_says_how_long_it_lasted() -> None:
    """And an open one that it still went on."""
    ended = {"ended_monotonic_ns": 99 * SECOND, "open": False}
    assert "lasted 4 s; this was collected at its end" in render(
        _content(manifest={**_MANIFEST, "episode": ended})
    )
    going_on = {"ended_monotonic_ns": None, "open": True}
    assert "it still went on" in render(_content(manifest={**_MANIFEST, "episode": going_on}))


def test_a_page_fits_a_mailbox() -> None:
    """50,000 requests of 2,000 processes and full logs: under three megabytes."""
    rows = np.zeros(50_000, EVENT)
    rows["released_ns"] = 50 * SECOND + np.arange(50_000) * MS
    rows["issued_ns"] = rows["released_ns"] - np.arange(50_000) * 1000
    rows["command"] = np.arange(50_000) % 12
    rows["status"] = np.where(np.arange(50_000) % 10 == 0, 0xC0000022, 0)
    rows["tgid"] = np.arange(50_000) % 2000
    texts = {f"{name}.log": "a line of a log\n" * 16_000 for name in range(7)}
    actions = [{"name": name, "file": name} for name in texts]
    in_flight = [{"age_ms": float(n), "command": "SMB2_READ"} for n in range(3000)]
    manifest = {**_MANIFEST, "actions": actions, "who": _WHO}
    content = _content(rows=rows, texts=texts, in_flight=in_flight, manifest=manifest)
    page = render(content)
    _check(page)
    assert len(page.encode()) < 3_000_000
    assert "6,000 of 35,000 requests are drawn" in page
    assert "2,800 more are in the bundle" in page


def test_before_and_during_are_told_apart() -> None:
    """Figures of a command: calm before, slow from the first sign on."""
    figures = {row.name: row for row in by_command(_rows(), 95 * SECOND)}
    write = figures["SMB2_WRITE"]
    assert (write.count, write.median_ms) == ((15, 6), (5.0, 900.0))
    assert figures["SMB2_READ"].count == (0, 1)
    assert next(iter(figures)) == "SMB2_WRITE"


def test_the_name_of_a_share_may_hold_blanks() -> None:
    """DebugData has it as it is."""
    debug = "\t1) \\\\nas\\Two Words Mounts: 1\n\ttid: 0x7\tx\n"
    debug += "\t2) IPC: \\\\nas\\IPC$ Mounts: 1 tid: 0x1\n"
    assert shares_by_tree({}, {"debug_data.log": debug}) == {
        7: r"\\nas\Two Words",
        1: r"\\nas\IPC$",
    }


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
    begun = time.process_time()
    drawn = timeline(rows, [60_000.0], Moments(30 * SECOND, 40 * SECOND), Size(1000, 400, 10))
    assert time.process_time() - begun < 10
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
