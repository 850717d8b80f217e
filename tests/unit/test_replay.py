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
from aodasync import cli
from aodasync.bundle.archive import load_recording, read_manifest, verify
from aodasync.events import EVENT
from aodasync.replay import batches
from tests.unit.builders import SECOND

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


def test_the_packaged_recording_ends_in_one_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The slow server is found once; the bundle is whole and shows the host that was recorded."""
    (bundle,) = _replay(RECORDING, tmp_path, capsys)
    assert verify(bundle) == ()
    manifest = read_manifest(bundle)
    recorded = json.loads((RECORDING / "manifest.json").read_text())
    assert manifest["anomaly"]["name"] == "latency"
    assert manifest["kernel"] == recorded["kernel"]
    assert manifest["live"] is False


def test_a_bundle_can_be_replayed_in_its_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle of a replay is a recording: it finds the same anomaly."""
    (first,) = _replay(RECORDING, tmp_path / "first", capsys)
    (second,) = _replay(first, tmp_path / "second", capsys)
    assert read_manifest(second)["anomaly"]["name"] == "latency"


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
