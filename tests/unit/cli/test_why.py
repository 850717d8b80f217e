# SPDX-License-Identifier: MIT
"""``why`` and ``history``: an episode in 12 lines, whatever is known of it."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aodasync.cli.history import list_history
from aodasync.cli.since import parse_since
from aodasync.cli.why import explain, find_episode, labelled, text_width, why
from aodasync.errors import BundleError, UsageError
from aodasync.evidence.history import PastEpisode, append
from tests.fuzz.bundle_maker import MANIFEST, bundle

_SECOND_NS = 1_000_000_000
_NOW_NS = 1_795_000_000 * _SECOND_NS

_FULL = PastEpisode(
    id="6afb-7",
    anomaly="latency",
    server="nas1",
    began_ns=_NOW_NS - 42 * _SECOND_NS,
    commands=("SMB2_WRITE", "SMB2_CREATE"),
    count=1204,
    worst_ms=568.0,
    usual_ms=9.0,
    bundle="aod_quick_1795_latency",
    verdict={
        "cause": "server",
        "confidence": "high",
        "sentence": "It took 318 ms to answer, while the network lost nothing. " * 4,
        "refuted_by": "a capture at the server shows that it answered at once",
    },
    who={
        "processes": [{"name": "postgres", "pid": 2210, "share_of_time": 0.71}],
        "shares": [{"name": "//nas1/data", "share_of_time": 1.0}],
        "files": [{"name": "base/16384/2619", "share_of_time": 0.6}],
    },
    next=("on nas1: iostat -x 1 5", "here: aodasync report"),
)


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pipe, whoever runs the tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize(
    ("usual_ms", "shown"), [(11.396, "11.4"), (0.0521, "0.0521"), (1234.6, "1235")]
)
def test_what_is_usual_has_three_digits(usual_ms: float, shown: str) -> None:
    """More would be noise; a large one is not written with an exponent."""
    lines = explain(replace(_FULL, usual_ms=usual_ms), now_ns=_NOW_NS)
    assert f"(usual {shown})" in " ".join(lines)


def test_an_open_episode_is_explained_in_twelve_lines() -> None:
    """What, since when, how bad, why, who, what would speak against it, and what next."""
    lines = explain(_FULL, now_ns=_NOW_NS)
    text = "\n".join(lines)
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 160
    for part in (
        *("latency on nas1", "still going on (42 s)", "1,204 requests", "usual 9", "server (high)"),
        *(
            "postgres 2210 (71%)",
            "//nas1/data",
            "base/16384/2619 (60%)",
            "WRITE",
            "iostat",
            "aod_quick_1795_latency",
        ),
    ):
        assert part in text, part


def test_one_is_said_of_one_request() -> None:
    """As an emergency has it; and codes stand in place of the word."""
    one = replace(_FULL, count=1)
    assert "): 1 request, worst" in " ".join(explain(one, now_ns=_NOW_NS))
    one = replace(one, codes=("EIO",))
    assert "): 1 EIO, worst" in " ".join(explain(one, now_ns=_NOW_NS))


def test_a_step_names_the_bundle_unless_commands_take_it_unasked() -> None:
    """Of an older one, or one that was sent here, ``report`` alone would show another page."""
    assert any(line.endswith("here: aodasync report BUNDLE") for line in explain(_FULL, now_ns=0))
    lines = explain(_FULL, now_ns=0, newest=True)
    assert any(line.endswith("here: aodasync report") for line in lines)


def test_an_episode_without_a_bundle_says_why() -> None:
    """And one of an agent that ended says that its end is not known."""
    bare = PastEpisode("a-1", "hang", "nas", _NOW_NS, cut_off=True, suppressed="cooldown")
    text = "\n".join(explain(bare, now_ns=_NOW_NS))
    assert "none: cooldown" in text
    assert "the agent ended before it did" in text


def test_the_rule_that_fired_is_named() -> None:
    """Where an anomaly has several."""
    ruled = replace(_FULL, anomaly="error", rule="no-space")
    assert "error (no-space) on nas1" in "\n".join(explain(ruled, now_ns=_NOW_NS))


def test_an_open_episode_comes_before_the_newest() -> None:
    """Without a name; with one, by id, number or bundle."""
    ended = PastEpisode("b-1", "error", "nas", _NOW_NS, ended_ns=_NOW_NS + 1, bundle="aod_x")
    assert find_episode([_FULL, ended], None) is _FULL
    assert find_episode([_FULL, ended], "b-1") is ended
    assert find_episode([_FULL, ended], "7") is _FULL
    assert find_episode([_FULL, ended], "aod_x") is ended
    for found, name in (([], None), ([ended], "zz")):
        with pytest.raises(BundleError):
            find_episode(found, name)


def test_other_open_episodes_are_named(tmp_path: Path) -> None:
    """The newest open one is explained, the others follow its id; it stays in twelve lines."""
    directory_fd = os.open(tmp_path, os.O_RDONLY)
    append(directory_fd, {"record": "agent", "run": "a"})
    for number, anomaly in enumerate(("hang", "error", "connection"), 1):
        record = {"record": "began", "id": f"a-{number}", "anomaly": anomaly, "server": "nas"}
        append(directory_fd, {**record, "began_ns": _NOW_NS})
    append(directory_fd, {**record, "record": "ended", "id": "a-2", "ended_ns": _NOW_NS + 1})
    os.close(directory_fd)
    out = io.StringIO()
    assert why(tmp_path, None, as_json=False, out=out) == 0
    assert out.getvalue().splitlines()[-1] == "episode  a-3; also open: 1 (hang on nas)"


def test_history_and_why_read_the_file(tmp_path: Path) -> None:
    """The text has a line an episode, the JSON all of it; nothing found is exit code 1."""
    directory_fd = os.open(tmp_path, os.O_RDONLY)
    record = {"record": "began", "id": "a-1", "anomaly": "hang", "server": "nas\x1b[2J"}
    append(directory_fd, {"record": "agent", "run": "a"})
    append(directory_fd, {**record, "began_ns": _NOW_NS})
    os.close(directory_fd)
    out = io.StringIO()
    assert list_history(tmp_path, since_ns=0, server="", as_json=False, out=out) == 0
    assert "open" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    out = io.StringIO()
    assert list_history(tmp_path, since_ns=0, server="other", as_json=True, out=out) == 1
    assert json.loads(out.getvalue())["episodes"] == []
    out = io.StringIO()
    assert why(tmp_path, None, as_json=True, out=out) == 0
    assert json.loads(out.getvalue())["id"] == "a-1"


@pytest.mark.parametrize("columns", [80, 40])
def test_a_narrow_terminal_is_not_overrun(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut for it; COLUMNS counts where there is no terminal, too."""
    sentence = "The server answers slowly, and the network loses nothing meanwhile. " * 3
    verdict = {"cause": "server", "confidence": "high", "sentence": sentence}
    episode = replace(_FULL, verdict=verdict)
    lines = explain(episode, now_ns=_NOW_NS, width=columns)
    assert max(map(len, lines)) <= columns
    assert " ".join(sentence.split()) in " ".join(" ".join(lines).split())
    monkeypatch.delenv("COLUMNS", raising=False)
    assert text_width(io.StringIO()) == 100
    monkeypatch.setenv("COLUMNS", str(columns))
    assert text_width(io.StringIO()) == columns


@pytest.mark.parametrize("columns", [99, 80, 61, 40])
def test_what_fits_in_100_columns_is_whole_in_fewer(columns: int) -> None:
    """However ragged the lines get; what does not fit says how much is hidden, to a character."""
    words = "answers took long, a roundtrip did not, as here the whole server's disk hesitates: "
    fits = (words * 4)[:262].rstrip()
    assert len(labelled("cause", fits, most=3)) == 3
    lines = labelled("cause", fits, most=3, width=columns)
    assert " ".join(line[9:] for line in lines) == fits
    assert max(map(len, lines)) <= columns
    text = (words * 40).rstrip()
    lines = labelled("cause", text, most=3, width=columns)
    assert max(map(len, lines)) <= columns
    shown, _, hidden = " ".join(line[9:] for line in lines).rpartition(" [")
    assert text.startswith(shown)
    assert hidden == f"{len(text) - len(shown):,} more characters]"


def test_since_is_a_span_or_a_date() -> None:
    """Anything else is a usage error that says what is expected."""
    assert parse_since("2h", now_ns=_NOW_NS) == _NOW_NS - 7200 * _SECOND_NS
    local = time.strftime("%Y-%m-%d %H:%M", time.localtime(_NOW_NS / 1e9))
    assert abs(parse_since(local, now_ns=0) - _NOW_NS) <= 60 * _SECOND_NS
    assert parse_since("2023-11-14T22:13:20Z", now_ns=0) == 1_700_000_000 * _SECOND_NS
    with pytest.raises(UsageError, match="expected a span"):
        parse_since("soon", now_ns=_NOW_NS)


def test_without_a_history_the_bundles_are_asked(tmp_path: Path) -> None:
    """By the same words as everywhere; what there is in neither is said of the episodes."""
    path = tmp_path / "any name"
    path.write_bytes(bundle())
    for named in (None, "latest", "1700"):
        out = io.StringIO()
        assert why(tmp_path, named, as_json=False, out=out, find_bundle=lambda _: path) == 0
        assert out.getvalue()

    def none(named: str | None) -> Path:
        raise BundleError(f"{named}: no bundle")

    with pytest.raises(BundleError, match="no episode 'x'"):
        why(tmp_path, "x", as_json=False, out=io.StringIO(), find_bundle=none)


def test_what_is_no_path_is_an_episode_that_is_not_there(tmp_path: Path) -> None:
    """Where there is no output directory either; a path is said to be missing itself."""
    with pytest.raises(BundleError, match="no episode '99'"):
        why(tmp_path, "99", as_json=False, out=io.StringIO(), find_bundle=lambda _: Path("99"))
    gone = tmp_path / "gone.tar.zst"
    (tmp_path / "history.jsonl").mkdir()  # which is nothing that a path has to do with
    with pytest.raises(BundleError, match="no such file or directory"):
        why(tmp_path, str(gone), as_json=False, out=io.StringIO(), find_bundle=lambda _: gone)


def test_an_empty_name_is_no_episode(tmp_path: Path) -> None:
    """As of a shell's variable that is not set: it is not the beginning of every name."""
    with pytest.raises(UsageError, match="found nothing"):
        why(tmp_path, "", as_json=False, out=io.StringIO())


def test_a_bundle_is_explained_by_its_path(tmp_path: Path) -> None:
    """In the same lines, with the times of then; a snapshot is of no episode."""
    path = tmp_path / "any name"
    path.write_bytes(bundle())
    out = io.StringIO()
    assert why(tmp_path, str(path), as_json=False, out=out) == 0
    text = out.getvalue()
    assert "cause    network: Segments were lost." in text
    assert "still open when the bundle was ordered" in text
    path.write_bytes(bundle({**MANIFEST, "anomaly": {"name": "snapshot"}}))
    with pytest.raises(BundleError, match="a snapshot, which is of no episode") as refused:
        why(tmp_path, str(path), as_json=False, out=out)
    # Without its path, report would make the page of another bundle: the newest one.
    assert refused.value.hint == f"aodasync report '{path}'"


def test_long_names_are_cut(tmp_path: Path) -> None:
    """No line is longer than a few of a terminal's, whatever a bundle or the history holds."""
    path, name = tmp_path / "any name", "n" * 10_000
    anomaly = {**MANIFEST["anomaly"], "server": name, "rule": name, "codes": [name] * 3}
    path.write_bytes(bundle({**MANIFEST, "anomaly": anomaly, "bundle": name}))
    out = io.StringIO()
    assert why(tmp_path, str(path), as_json=False, out=out) == 0
    directory_fd = os.open(tmp_path, os.O_RDONLY)
    names = dict.fromkeys(("id", "anomaly", "server"), name[:4000])
    append(directory_fd, {"record": "began", "began_ns": _NOW_NS, **names})
    os.close(directory_fd)
    assert list_history(tmp_path, since_ns=0, server="n", as_json=False, out=out) == 0
    assert max(map(len, out.getvalue().splitlines())) < 350
    assert "more characters]" in out.getvalue()
