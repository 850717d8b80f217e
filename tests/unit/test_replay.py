# SPDX-License-Identifier: MIT
"""A replay drives the live pipeline with recorded requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

import aodasync
from aodasync import replay
from aodasync.bundle.archive import load_recording, read_manifest, verify
from aodasync.cli import main as cli
from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.replay import batches, in_flight_at
from tests.builders import MS, SECOND, request, requests, trouble

RECORDING = Path(aodasync.__file__).parent / "recordings" / "slow_server"


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


def _replay(recording: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    argv = ["replay", str(recording), "--config", str(RECORDING / "config.yaml")]
    assert cli.main([*argv, "--output-dir", str(output), "--log-format", "json"]) == 0
    capsys.readouterr()
    return sorted(output.glob("batches/*.tar.zst"))


@pytest.mark.parametrize(("name", "cause"), [("slow_disk", "server"), ("lossy_network", "network")])
def test_each_packaged_recording_ends_in_one_bundle(
    name: str, cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault is found once, with its cause; the bundle is whole and shows who was recorded."""
    recording = RECORDING.parent / name
    (bundle,) = _replay(recording, tmp_path, capsys)
    assert verify(bundle) == ()
    manifest = read_manifest(bundle)
    recorded = json.loads((recording / "manifest.json").read_text())
    assert manifest["anomaly"]["name"] == "latency"
    assert (manifest["verdict"]["cause"], manifest["verdict"]["confidence"]) == (cause, "high")
    assert manifest["kernel"] == recorded["kernel"]
    assert manifest["live"] is False


def test_a_bundle_can_be_replayed_in_its_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle of a replay is a recording: the same anomaly is found, with the same cause."""
    (first,) = _replay(RECORDING, tmp_path / "first", capsys)
    (second,) = _replay(first, tmp_path / "second", capsys)
    manifests = [read_manifest(bundle) for bundle in (first, second)]
    assert [m["anomaly"]["name"] for m in manifests] == ["latency", "latency"]
    assert [m["verdict"]["cause"] for m in manifests] == ["unknown", "unknown"]


def test_batches_hold_every_complete_row_once_and_in_order() -> None:
    """A recording is cut by recorded time; what never ended is left out."""
    _, rows = load_recording(RECORDING)
    cut = list(batches(rows))
    joined = np.concatenate([batch.rows for batch in cut])
    assert len(joined) == np.count_nonzero(rows["released_ns"])
    assert (np.diff(joined["released_ns"].astype(np.int64)) >= 0).all()
    assert all(batch.drained_ns == batch.rows["released_ns"].max() for batch in cut)
    assert all(np.ptp(batch.rows["released_ns"]) < SECOND // 4 for batch in cut)


def test_a_recording_without_a_complete_request_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so; exit 1."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "manifest.json").write_bytes((RECORDING / "manifest.json").read_bytes())
    np.save(empty / "events.npy", np.zeros(3, EVENT))
    argv = ["replay", str(empty), "--output-dir", str(tmp_path / "out")]
    assert cli.main(argv) == 1
    assert "no complete request" in capsys.readouterr().err


def _recording(folder: Path, *rows: EventArray) -> Path:
    """These rows, as if recorded where the packaged recording was."""
    recording = folder / "recording"
    recording.mkdir()
    manifest = json.loads((RECORDING / "manifest.json").read_text())
    manifest["connections"] = [
        {"connection_id": 1, "server": "nas", "address": "192.0.2.1", "port": 445}
    ]
    (recording / "manifest.json").write_text(json.dumps(manifest))
    np.save(recording / "events.npy", requests(*rows))
    return recording


def _calm(first_sec: int, last_sec: int) -> list[EventArray]:
    return [request(released_ns=n * SECOND // 4) for n in range(4 * first_sec, 4 * last_sec)]


def test_a_hang_is_found_while_it_lasts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing ends for 20 s: what was in flight then is known from when it ended."""
    hung = [
        request(released_ns=30 * SECOND, latency_ns=20 * SECOND - n, received_ns=30 * SECOND - MS)
        for n in range(5)
    ]
    recording = _recording(tmp_path, *_calm(1, 10), *hung, *_calm(31, 40))
    bundles = [read_manifest(b) for b in _replay(recording, tmp_path / "out", capsys)]
    hang = next(m for m in bundles if m["anomaly"]["name"] == "hang")
    assert hang["anomaly"]["count"] == 5
    assert hang["anomaly"]["max_latency_ms"] < 7000
    assert hang["verdict"]["evidence"]["unanswered"] == 5


def test_what_does_not_happen_for_long_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that was lost is negotiated again, and then no login comes for a minute."""
    lost = trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1)
    negotiated = request("SMB2_NEGOTIATE", released_ns=10 * SECOND + 9 * MS)
    recording = _recording(tmp_path, *_calm(1, 10), lost, negotiated, *_calm(60, 62))
    bundles = [read_manifest(b) for b in _replay(recording, tmp_path / "out", capsys)]
    assert "no login" in {m["verdict"]["rule"] for m in bundles}


def test_requests_in_flight_are_as_they_were_then() -> None:
    """Without the answer that had not come yet, and without those that had ended."""
    rows = requests(
        request(released_ns=4 * SECOND, latency_ns=3 * SECOND, received_ns=3 * SECOND, status=5),
        request(released_ns=2 * SECOND, latency_ns=SECOND, received_ns=2 * SECOND),
        request(released_ns=9 * SECOND, latency_ns=SECOND),
    )
    (early,) = in_flight_at(rows, 2 * SECOND)
    (late,) = in_flight_at(rows, 3 * SECOND)
    assert (early["received_ns"], late["received_ns"]) == (0, 3 * SECOND)
    assert (early["released_ns"], early["status"], early["outcome"]) == (0, 0, Outcome.IN_FLIGHT)
    assert rows["released_ns"][0] == 4 * SECOND


def test_batches_of_a_sparse_recording_are_few() -> None:
    """Each takes as long as a hundred rows: an hour between rows costs no more than none."""
    rows = np.zeros(200_000, EVENT)
    rows["released_ns"] = np.arange(1, 200_001, dtype=np.uint64) * np.uint64(3600 * SECOND)
    cut = list(batches(rows))
    assert 2_500 < len(cut) <= 5_001
    assert sum(len(batch.rows) for batch in cut) == len(rows)


def test_a_recording_of_nothing_but_episodes_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hourly budget is by its clock; so many bundles are enough, and what is left is said."""
    monkeypatch.setattr(replay, "_MOST_BUNDLES", 2)
    times = np.arange(12)[:, None] * 600 + np.arange(6) + 10
    rows = requests(
        *(
            request(released_ns=at * SECOND, latency_ns=MS if place else 5 * SECOND)
            for episode in times.tolist()
            for place, at in enumerate(episode)
        )
    )
    np.save(tmp_path / "events.npy", rows)
    (tmp_path / "manifest.json").write_text("{}")
    argv = ["replay", str(tmp_path), "--config", str(RECORDING / "config.yaml")]
    assert cli.main([*argv, "--output-dir", str(tmp_path / "out"), "--log-format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (said,) = [line for line in lines if line["event"] == "replay_cut_off"]
    assert said["bundles"] == 2
    assert 0 < said["left_out_events"] < len(rows)
