# SPDX-License-Identifier: MIT
"""What is shipped in contrib/ fits the agent: programs, rules over its log, units."""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from aodasync.config import load
from aodasync.host import logs

ROOT = Path(__file__).parents[2]
CONTRIB = ROOT / "contrib"


def _program(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def _run(program: Path, tmp_path: Path, **facts: str) -> subprocess.CompletedProcess[str]:
    path = f"{tmp_path}:/usr/bin:/bin"
    return subprocess.run(
        [program], env={"PATH": path, **facts}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def rclone(tmp_path: Path) -> Path:
    """A remote that is a directory: ``copyto FILE NAME``."""
    script = f"""
remote={tmp_path}/remote; shift 4
mkdir -p "$(dirname "$remote/$2")" && cp "$1" "$remote/$2\""""
    _program(tmp_path, "rclone", script)
    _program(tmp_path, "sleep", '[ "$1" -lt 10 ]')
    return tmp_path / "remote"


def test_the_hook_copies_bundle_and_manifest(tmp_path: Path, rclone: Path) -> None:
    """To the names that docs/fleet.md asks, whatever the directory is called."""
    bundle = tmp_path / "a b;$(id)" / "aod_quick_1_latency.tar.zst"
    bundle.parent.mkdir()
    bundle.write_text("bundle")
    bundle.with_name("aod_quick_1_latency.json").write_text('{"bundle": "x"}')
    done = _run(CONTRIB / "hooks/upload-bundle", tmp_path, BUNDLE=str(bundle))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    host = os.uname().nodename
    target = rclone / "bundles:smb"
    assert (target / f"bundles/{host}/{bundle.name}").read_text() == "bundle"
    manifest = json.loads((target / f"manifests/{host}/aod_quick_1_latency.json").read_text())
    assert manifest == {"bundle": "x"}


def test_the_hook_fails_where_one_of_the_two_is_missing(tmp_path: Path, rclone: Path) -> None:
    """The agent's log says so then, and counts it."""
    (tmp_path / "aod_quick_1_hang.tar.zst").write_text("bundle")
    bundle = str(tmp_path / "aod_quick_1_hang.tar.zst")
    assert _run(CONTRIB / "hooks/upload-bundle", tmp_path, BUNDLE=bundle).returncode != 0
    assert list(rclone.glob("**/*.json")) == []
    assert _run(CONTRIB / "hooks/upload-bundle", tmp_path).returncode != 0


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 1", 1), ("exit 2", 1), ("exit 3", 2), ("kill -9 $$", 2), ("", 0)],
)
def test_node_problem_detector_has_its_exit_codes(tmp_path: Path, script: str, code: int) -> None:
    """A warning and a critical state are a problem; what is not known is none."""
    _program(tmp_path, "aodasync", f"echo OK - '3 mounts'; {script}")
    done = _run(CONTRIB / "node-problem-detector/npd-check", tmp_path)
    assert (done.returncode, done.stdout) == (code, "OK - 3 mounts\n")


def _line(event: str, **fields: object) -> str:
    out = io.StringIO()
    log = logs.configure(level="info", fmt="json", stream=out)
    log.warning(event, **fields)
    logs.flush(5)
    return out.getvalue().rstrip("\n")


def test_its_rules_match_the_lines_of_the_log() -> None:
    """Each event its rule, whole lines as it has them; no name in a line is taken for one."""
    rules = json.loads((CONTRIB / "node-problem-detector/aodasync-journal.json").read_text())
    forged = '", "event": "mount_unusable"'
    lines = {
        "SmbAnomaly": _line("anomaly_detected", server='n"as', anomaly="hang", count=3),
        "SmbMountNotUsable": _line("mount_unusable", mount_point=forged, why="no answer"),
        "SmbMountUsable": _line("mount_usable", mount_point="/mnt/\udcff", unusable_ms=1.5),
        "": _line("anomaly_ended", server=forged, who='"event": "anomaly_detected"'),
    }
    for reason, line in lines.items():
        found = [r["reason"] for r in rules["rules"] if re.search(r["pattern"] + r"\Z", line)]
        assert found == ([reason] if reason else []), line


def test_no_condition_is_set_that_a_log_could_not_clear() -> None:
    """Rules over a log only ever set one; the check alone says that mounts are usable again."""
    folder = CONTRIB / "node-problem-detector"
    journal = json.loads((folder / "aodasync-journal.json").read_text())
    assert journal["conditions"] == []
    assert {rule["type"] for rule in journal["rules"]} == {"temporary"}
    check = json.loads((folder / "aodasync-check.json").read_text())
    assert [c["type"] for c in check["conditions"]] == [r["condition"] for r in check["rules"]]


def _unit(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CONTRIB / "systemd" / name)
    return unit


def test_units_watch_and_copy_where_bundles_are() -> None:
    """The directory of the shipped configuration, to the names that docs/fleet.md asks."""
    batches = str(load(ROOT / "config/config.yaml").output_dir / "batches")
    assert _unit("aodasync-upload.path")["Path"]["PathChanged"] == batches
    service = (CONTRIB / "systemd/aodasync-upload.service").read_text()
    copies = [line.split() for line in service.splitlines() if line.startswith("ExecStart=")]
    assert [(*each[2:4], *each[-2:]) for each in copies] == [
        ("--include", '"aod_quick_*.tar.zst"', batches, "bundles:smb/bundles/%H"),
        ("--include", '"aod_quick_*.json"', batches, "bundles:smb/manifests/%H"),
    ]
    guide = (ROOT / "docs/fleet.md").read_text()
    assert "\nbundles/HOST/" in guide
    assert "\nmanifests/HOST/" in guide


def test_no_number_of_bundles_ends_the_upload() -> None:
    """Starts are not limited, and a timer copies what a change did not."""
    assert _unit("aodasync-upload.service")["Unit"]["StartLimitIntervalSec"] == "0"
    assert _unit("aodasync-upload.timer")["Timer"]["OnCalendar"] == "hourly"
