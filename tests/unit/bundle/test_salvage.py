# SPDX-License-Identifier: MIT
"""What a killed agent leaves becomes a whole bundle at the next start, or goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aodasync.bundle.archive import load_recording, read_manifest, verify
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.salvage import salvage_leftovers
from aodasync.events import EVENT
from tests.builders import archives

_NAME = BundleName(5, "hang")
_MANIFEST = {
    "bundle": str(_NAME),
    "verdict": {"cause": "unknown", "sentence": "Not known."},
    "events": {"count": 99},
    "actions": [
        {"name": "dmesg", "file": "dmesg.log", "bytes": 0, "error": "not reached"},
        {"name": "stats", "file": "cifsstats.log", "bytes": 0, "error": "not reached"},
    ],
}


@pytest.fixture
def batches(tmp_path: Path) -> Iterator[int]:
    """The descriptor of an empty directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _leave(batches: int, *lacking: str, manifest: object = _MANIFEST) -> None:
    partial = PartialBundle(_NAME, batches)
    partial.create()
    files = {
        "inflight.json": b"[]",
        "manifest.json": json.dumps(manifest).encode(),
        "dmesg.log": b"hello\n",
        "manifest.json.partial": b"{",
    }
    if "events.npy" not in lacking:
        partial.write_events(np.zeros(3, EVENT))
    for file in files.keys() - set(lacking):
        partial.write(file, files[file])
    os.close(partial.directory_fd)


def test_leftovers_become_whole_bundles(batches: int, tmp_path: Path) -> None:
    """The archive is whole, states what it holds, and that it was cut off."""
    _leave(batches)
    (tmp_path / f"{_NAME.archive}.partial").write_bytes(b"half")
    assert salvage_leftovers(batches) == (1, 1)
    (path,) = archives(tmp_path)
    assert path.name == _NAME.archive
    assert verify(path) == ()
    manifest, rows = load_recording(path)
    assert (len(rows), manifest["salvaged"]) == (3, True)
    assert "agent ended" in manifest["verdict"]["sentence"]
    dmesg, stats = manifest["actions"]
    assert (dmesg["file"], dmesg["bytes"]) == ("dmesg.log", 6)
    assert (stats["file"], stats["error"]) == (None, "not reached")
    assert salvage_leftovers(batches) == (0, 0)


@pytest.mark.parametrize("lacking", ["manifest.json", "events.npy", "inflight.json"])
def test_too_little_is_removed(batches: int, tmp_path: Path, lacking: str) -> None:
    """Without the first manifest, the requests, or those in flight there is no bundle."""
    _leave(batches, lacking)
    assert salvage_leftovers(batches) == (0, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "manifest", [[], {}, {"bundle": "aod_quick_6_hang"}, {**_MANIFEST, "actions": [3]}, "x"]
)
def test_odd_manifests_are_removed(batches: int, tmp_path: Path, manifest: object) -> None:
    """What no collection wrote is no bundle, and never an error of the start."""
    _leave(batches, manifest=manifest)
    assert salvage_leftovers(batches) == (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_or_followed(batches: int, tmp_path: Path) -> None:
    """A whole bundle of that name stays as it is; planted links go, their targets stay."""
    _leave(batches)
    (tmp_path / _NAME.archive).write_bytes(b"whole")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / _NAME.directory / "link.log").symlink_to(secret)
    (tmp_path / "aod_quick_7_hang.partial").symlink_to(tmp_path)
    assert salvage_leftovers(batches) == (0, 2)
    assert (tmp_path / _NAME.archive).read_bytes() == b"whole"
    assert secret.read_text() == "secret"


def test_manifests_without_an_archive_go(batches: int, tmp_path: Path) -> None:
    """Those of a collection that came to nothing, and of archives that somebody deleted."""
    _leave(batches, "events.npy")
    for name in (_NAME.manifest, "aod_quick_6_hang.json", "aod_quick_7_hang.json", "own.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "aod_quick_7_hang.tar.zst").write_bytes(b"whole")
    (tmp_path / "aod_quick_8_hang.json.partial").write_text("{")
    assert salvage_leftovers(batches) == (0, 2)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["aod_quick_7_hang.json", "aod_quick_7_hang.tar.zst", "own.json"]


_OPERATIONS = range(28, 120)  # from the first directory made to a bundle packed, and the next
_STRIDE = 35  # prime to their number: the first ten are spread, and later ones come between

# Imports once; then forks an agent for each number on standard input, which kills itself at
# that moment: the number of an operation on files, and every second time a little later.
_AGENTS = """
import asyncio, os, signal, sys, time
from pathlib import Path
import structlog
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.actions import UserAction
from aodasync.evidence.model import Trigger
from aodasync.process.children import Children
from aodasync.tasks.collector import Collector
from tests.builders import config, latency_anomaly
from tests.unit.tasks.test_collector import _Source
own = tuple(UserAction(f"a{n}", ("sh", "-c", f"seq {n}0000; sleep 0.0{n}"), 5.0) for n in range(4))
_MOMENTS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen"}
def kill_at(moment):
    left = moment
    def hook(event, _):
        nonlocal left
        if event in _MOMENTS:
            left -= 1
            if left == 0 and moment % 2:
                signal.setitimer(signal.ITIMER_REAL, 0.003)  # nobody handles SIGALRM: it kills
            elif left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
async def main(moment):
    with OutputDirectory.prepare(Path(sys.argv[1])) as output:
        kill_at(moment)
        queue = asyncio.Queue()
        collector = Collector(config(latency_anomaly(), user_actions=own), output, _Source(),
            structlog.wrap_logger(structlog.PrintLogger(sys.stderr)), children=Children())
        asyncio.create_task(collector.run(queue))
        while True:
            names = tuple(action.name for action in own)
            queue.put_nowait(Trigger("x", None, names, time.monotonic_ns(), time.time_ns(), 1))
            await asyncio.sleep(0.1)
for line in sys.stdin:
    if not (agent := os.fork()):
        asyncio.run(main(int(line)))
    print(os.WTERMSIG(os.waitpid(agent, 0)[1]), flush=True)
"""


def test_killed_at_any_moment_nothing_broken_is_left(tmp_path: Path) -> None:
    """SIGKILL during collection: at the next start every archive is whole and nothing else is.

    Ten moments, spread over one bundle and more, and as many as it takes to find one that
    leaves a bundle to be made; AODASYNC_KILLS=100 for as many.
    """
    kills = int(os.environ.get("AODASYNC_KILLS", "10"))
    output = tmp_path / "aod"
    salvaged = 0
    agents = subprocess.Popen(
        [sys.executable, "-c", _AGENTS, output],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert agents.stdin is not None
    assert agents.stdout is not None
    with agents, agents.stdin, agents.stdout:
        for kill in range(kills + len(_OPERATIONS)):
            if kill >= kills and salvaged:
                break
            agents.stdin.write(f"{_OPERATIONS[_STRIDE * kill % len(_OPERATIONS)]}\n")
            agents.stdin.flush()
            assert int(agents.stdout.readline()) in (signal.SIGKILL, signal.SIGALRM)
            with OutputDirectory.prepare(output) as prepared:
                salvaged += prepared.salvaged
                for path in archives(prepared.batches):
                    assert verify(path) == ()
                    assert read_manifest(path)["anomaly"]["name"] == "x"
    assert salvaged > 0
