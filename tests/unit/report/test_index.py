# SPDX-License-Identifier: MIT
"""The index of many bundles: a line each, the newest first, whatever is in them."""

from __future__ import annotations

import os
import stat
import webbrowser
from pathlib import Path

import pytest

from aodasync.cli import main as cli
from aodasync.report.index import Entry, render_index
from tests.fuzz.bundle_maker import bundle

_NAMES = ("aod_quick_1700000000000000000_latency", "aod_quick_1700000060000000000_hang")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output directory with two bundles; the working directory is another one."""
    batches = tmp_path / "aod" / "batches"
    batches.mkdir(parents=True)
    for name in _NAMES:
        (batches / f"{name}.tar.zst").write_bytes(bundle())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "aod"


def test_all_bundles_get_a_page_and_an_index(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For their owner alone; a second time makes what is new; a broken one is named."""
    argv = ["report", "--all", "--output-dir", str(stored)]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == "aodasync-report/index.html\n"
    made = tmp_path / "here" / "aodasync-report"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {path.name for path in made.iterdir()} == {"index.html", *(f"{n}.html" for n in _NAMES)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o600}
    index = (made / "index.html").read_text()
    places = [index.index(f'href="{name}.html"') for name in _NAMES]
    assert places[0] > places[1]
    page = made / f"{_NAMES[0]}.html"
    page.write_text("mine")
    (stored / "batches" / "aod_quick_1_error.tar.zst").write_bytes(b"no archive")
    assert cli.main(argv) == 0
    assert page.read_text() == "mine"
    assert "not a whole bundle" in (made / "index.html").read_text()
    assert cli.main([*argv, "--force"]) == 0
    assert page.read_text() != "mine"


def test_it_says_when_what_who_and_how_bad() -> None:
    """Out of the manifest; an episode that ended has its length."""
    manifest = {
        "anomaly": {"name": "latency", "server": "nas", "first_ns": 5 * 10**9},
        "episode": {
            "open": False,
            "began_monotonic_ns": 5 * 10**9,
            "ended_monotonic_ns": 47 * 10**9,
            "worst_ms": 568.0,
        },
        "verdict": {"cause": "server", "sentence": "It was slow."},
        "who": {"processes": [{"name": "postgres", "pid": 2210}]},
        "collection": {"decided_monotonic_ns": 6 * 10**9, "decided_realtime_ns": 10**18},
    }
    page = render_index([Entry("x", "x y.html", manifest)])
    for said in ("2001-09-09", "42 s", "latency", "nas", "server", "postgres 2210", "568", "slow."):
        assert said in page
    assert 'href="x%20y.html"' in page
    assert "No bundle." in render_index([])


@pytest.mark.parametrize("value", ["<b>", -3, 1 << 70, None, [], [{}], {"a": 1.5}])
def test_any_manifest_makes_a_line(value: object) -> None:
    """A bundle is untrusted: keys of the wrong shape make a poorer line."""
    keys = ("anomaly", "episode", "verdict", "who", "collection", "clock")
    inner = dict.fromkeys(("name", "worst_ms", "open", "sentence", "processes", "first_ns"), value)
    for manifest in (dict.fromkeys(keys, value), dict.fromkeys(keys, inner)):
        page = render_index([Entry('"><b>', '"><b>', manifest)])
        assert "<b>" not in page


def test_a_page_is_shown_on_demand(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the user's browser; where there is none, one line says so."""
    shown: list[str] = []

    def open_once(url: str) -> bool:
        shown.append(url)
        return len(shown) == 1

    monkeypatch.setattr(webbrowser, "open", open_once)
    argv = ["report", "--open", "--force", "--output-dir", str(stored)]
    assert cli.main(argv) == 0
    assert shown[0].startswith("file:///")
    assert shown[0].endswith(f"{_NAMES[1]}.html")
    assert cli.main(argv) == 1
    assert "no browser could be started" in capsys.readouterr().err


def test_all_and_one_are_two_things(stored: Path) -> None:
    """Asked for both, neither is made."""
    assert cli.main(["report", "latest", "--all", "--output-dir", str(stored)]) == 64


@pytest.mark.parametrize("planted", ["link", "world", "page", "fifo"])
def test_what_somebody_else_put_there_stays(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], planted: str
) -> None:
    """A link and a directory that all may write are refused; an index of another's is kept."""
    made = Path("aodasync-report")
    (tmp_path / "web").mkdir()
    if planted == "link":
        made.symlink_to(tmp_path / "web")
    else:
        made.mkdir()
    if planted == "fifo":
        os.mkfifo(made / "index.html")
    else:
        (made / "index.html").write_text("mine")
    if planted == "world":
        made.chmod(0o777)
    argv = ["report", "--all", "--output-dir", str(stored)]
    assert cli.main(argv) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert planted == "fifo" or (made / "index.html").read_text() == "mine"
    if planted == "page":
        assert cli.main([*argv, "--force"]) == 0
