# SPDX-License-Identifier: MIT
"""``suggest``: a latency section from what was learnt, with the reason for each number."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

import aodasync
from aodasync.bundle.archive import load_recording
from aodasync.cli import main as cli
from aodasync.cli.suggest import render, suggest, suggestion
from aodasync.cli.why import load as load_history
from aodasync.config import load, loads
from aodasync.config.model import LatencyAnomaly
from aodasync.detection.baseline import Baseline, Normal
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Started
from aodasync.errors import BundleError
from aodasync.evidence import history
from aodasync.evidence.history import PastEpisode
from aodasync.host import state_file
from aodasync.replay import batches

_CREATE, _READ, _WRITE = 5, 8, 9
_PACKAGE = Path(aodasync.__file__).parent
_HEALTHY_SEC = 35
_NORMALS = (
    Normal("nas1", _READ, 720, 4.0, 12.0),
    Normal("nas2", _READ, 90, 1.0, 2.0),
    Normal("nas1", _WRITE, 720, 30.0, 90.0),
    Normal("nas1", _CREATE, 720, 1.0, 1.5),
)


def _latency(text: str) -> LatencyAnomaly:
    (anomaly,) = (a for a in loads(text, "f").anomalies if isinstance(a, LatencyAnomaly))
    return anomaly


def test_it_is_a_section_that_the_configuration_takes() -> None:
    """Five times the slow moments of the slowest server, 20 ms at least, round numbers."""
    anomaly = _latency(render(suggestion(_NORMALS, ())))
    assert anomaly.thresholds_ms["SMB2_READ"] == 70.0
    assert anomaly.thresholds_ms["SMB2_WRITE"] == 500.0
    assert anomaly.thresholds_ms["SMB2_CREATE"] == 20.0
    assert anomaly.thresholds_ms["SMB2_FLUSH"] == 70.0
    assert anomaly.emergency_threshold_ms == 1500.0


@pytest.mark.parametrize("high_ms", [1e-9, 4e4, 2e5, 5e6, 1e21])
def test_whatever_was_learnt_the_section_is_one_that_the_configuration_takes(
    high_ms: float,
) -> None:
    """A million is not written 1e+06, which YAML takes for a text; half a day is the most."""
    found = suggestion([Normal("nas1", _READ, 720, high_ms, high_ms)], ())
    anomaly = _latency(render(found))
    assert anomaly.thresholds_ms["SMB2_READ"] == found.commands["SMB2_READ"].ms <= 5e7
    assert anomaly.emergency_threshold_ms == found.emergency.ms <= 5e7


def test_each_number_has_its_reason() -> None:
    """The server, what is usual there, and how much was seen."""
    text = render(suggestion(_NORMALS, ()))
    assert "nas1: 4 ms usual, 12 ms in slow moments (720 samples of 5 s); 5 times that" in text
    assert "under 20 ms nobody feels it" in text
    assert "default_threshold_ms: 70  # for commands not learnt yet" in text


def test_the_past_shows_what_it_would_have_meant() -> None:
    """Latency episodes that these thresholds would have left unsaid are counted."""
    past = [
        PastEpisode("a-1", "latency", "nas1", 5, commands=("SMB2_READ",), worst_ms=40.0),
        PastEpisode("a-2", "latency", "nas1", 6, commands=("SMB2_READ",), worst_ms=4000.0),
        PastEpisode("a-3", "hang", "nas1", 7),
    ]
    assert suggestion(_NORMALS, past).past.startswith("of 2 latency episodes in the history, 1 had")


def test_a_servers_name_adds_no_line() -> None:
    """A server may call itself whatever it likes."""
    odd = Normal("nas\n    hang: {enabled: false}", _READ, 720, 4.0, 12.0)
    assert len(loads(render(suggestion([odd], ())), "f").anomalies) == 4


def _learn(directory: Path, times: int) -> None:
    baseline = Baseline()
    for _ in range(times):
        baseline.learn([("nas1", _READ)], np.array([8.0]))
    state_file.save(directory, "learnt.json", {"drift": baseline.export()})


def test_it_reads_what_the_agent_keeps(tmp_path: Path) -> None:
    """The file of the learnt state, and the history since a time."""
    _learn(tmp_path, 100)
    directory_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    episode = {"anomaly": "latency", "server": "nas1", "commands": ["SMB2_READ"], "worst_ms": 25.0}
    for number in (1, 2):
        record = {"record": "began", "id": f"a-{number}", "began_ns": number * 10**9, **episode}
        history.append(directory_fd, record)
    os.close(directory_fd)
    out = io.StringIO()
    assert suggest(tmp_path, since_ns=2 * 10**9, as_json=True, out=out) == 0
    found = json.loads(out.getvalue())
    assert found["track_commands"][0]["command"] == "SMB2_READ"
    assert found["track_commands"][0]["ms"] == 50.0
    assert found["past"].startswith("of 1 latency episodes")


@pytest.mark.parametrize("times", [0, 10])
def test_what_is_not_learnt_is_not_invented(tmp_path: Path, times: int) -> None:
    """Neither without a file nor from too few samples."""
    if times:
        _learn(tmp_path, times)
    with pytest.raises(BundleError, match="nothing is learnt yet"):
        suggest(tmp_path, since_ns=0, as_json=False, out=io.StringIO())


@pytest.mark.parametrize("text", ['{"drift": 7}', '{"drift": {"version": 9}}', "[]", "{"])
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    """With its folder."""
    (tmp_path / "learnt.json").write_text(text)
    with pytest.raises(BundleError, match=str(tmp_path)):
        suggest(tmp_path, since_ns=0, as_json=False, out=io.StringIO())


@pytest.mark.parametrize("name", ["history.jsonl", "learnt.json"])
def test_a_file_that_cannot_be_opened_is_named_once(tmp_path: Path, name: str) -> None:
    """With the reason in words, without the number of an error; history says the same."""
    (tmp_path / name).symlink_to("elsewhere")
    words = f"^{tmp_path}/{name}: too many levels of symbolic links$"
    with pytest.raises(BundleError, match=words):
        suggest(tmp_path, since_ns=0, as_json=False, out=io.StringIO())
    if name == "history.jsonl":
        with pytest.raises(BundleError, match=words):
            load_history(tmp_path)


def test_since_is_checked_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong one is a wrong use."""
    assert cli.main(["suggest", "--since", "yesterday"]) == 64
    assert "--since: expected a span" in capsys.readouterr().err


def test_the_shipped_thresholds_leave_a_healthy_server_alone() -> None:
    """No alarm in the healthy part of the packaged recording; the fault after it is found."""
    shipped = load(_PACKAGE.parent / "config" / "config.yaml")
    _, rows = load_recording(_PACKAGE / "recordings" / "slow_server")
    engine = Engine(shipped, lambda _: "nas")
    end_ns = int(rows["released_ns"][rows["released_ns"] != 0].min()) + _HEALTHY_SEC * 10**9
    early: list[Started] = []
    late: list[Started] = []
    for batch in batches(rows):
        started = engine.process(batch.rows, batch.drained_ns)
        (early if batch.drained_ns < end_ns else late).extend(started)
        engine.tick(batch.drained_ns)
    assert early == []
    assert {started.finding.anomaly for started in late} == {"latency"}
