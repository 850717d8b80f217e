# SPDX-License-Identifier: MIT
"""A disk that is really full, at every moment of a bundle's life: a small tmpfs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

import aodasync
from aodasync.actions import UserAction
from aodasync.bundle.archive import load_recording, verify
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.cli import main as cli
from aodasync.config.model import Cleanup, Config
from aodasync.config.model import Collector as Limits
from aodasync.tasks.cleaner import Cleaner
from tests.builders import archives, config
from tests.kernel.collecting import collect, collector, trigger
from tests.unit.bundle.test_salvage import _NAME, _leave

pytestmark = pytest.mark.anyio

_MB: Final = 1 << 20
_DISK_MB: Final = 32
_RECORDING: Final = Path(aodasync.__file__).parent / "recordings" / "slow_server"

_GOOD: Final = UserAction("good", ("echo", "good"), 5.0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB and 64 inodes."""
    point = tmp_path / "disk"
    point.mkdir()
    options = f"size={_DISK_MB}m,nr_inodes=64,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], check=True)
    yield point
    subprocess.run(["umount", str(point)], check=True)


@pytest.fixture
def output(disk: Path) -> Iterator[OutputDirectory]:
    """An output directory on it."""
    with OutputDirectory.prepare(disk / "aod") as directory:
        yield directory


def _fill(disk: Path, leave_bytes: int) -> Path:
    """Put a file of somebody else's on the disk."""
    filler = disk / "somebody-else's"
    space = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - leave_bytes)
    return filler


def _config(*actions: UserAction, **changes: Any) -> Config:
    return config(
        user_actions=(_GOOD, *actions), collector=Limits(max_action_bytes=64 * _MB), **changes
    )


def _noise(megabytes: int) -> UserAction:
    """An action whose output hardly gets smaller; without a letter, redaction is quick."""
    script = f"tr '\\000-\\177' '\\200-\\377' </dev/urandom | head -c {megabytes * _MB}"
    return UserAction("noise", ("sh", "-c", script), 20.0)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _names(output: OutputDirectory) -> list[str]:
    return [path.name for path in archives(output.batches)]


async def _drops_the_noise_only(output: OutputDirectory, noise: UserAction) -> None:
    """A bundle that does not fit between two good ones: it lacks the noise alone, and says so."""
    full = collector(_config(noise), output)
    await collect(full, trigger("good"))
    logs = await collect(full, trigger("noise", "good"))
    (failed,) = [entry for entry in logs if entry["event"] == "action_failed"]
    assert failed["name"] == "noise"
    assert re.fullmatch(r"the disk is full: \d+ bytes left out", failed["error"])
    path = max(archives(output.batches))
    manifest, rows = load_recording(path)
    assert len(rows) == manifest["events"]["count"] == 1000
    assert manifest["in_flight"]["count"] == 1
    entries = {entry["name"]: entry for entry in manifest["actions"]}
    assert (entries["noise"]["file"], entries["noise"]["bytes"]) == (None, 0)
    assert entries["noise"]["error"] == failed["error"]
    assert (entries["good"]["error"], entries["good"]["bytes"]) == (None, 5)
    await collect(full, trigger("good"))
    assert len(_names(output)) == 3
    assert all(verify(path) == () for path in archives(output.batches))
    assert (full.metrics.bundles_written, full.metrics.bundles_failed) == (3, 0)


async def test_an_action_that_fills_the_disk_loses_its_file_and_nothing_else(
    output: OutputDirectory,
) -> None:
    """The requests, what is in flight and the other actions' files are in the bundle."""
    before = _descriptors()
    await _drops_the_noise_only(output, _noise(2 * _DISK_MB))
    assert _descriptors() == before


async def test_an_archive_that_does_not_fit_loses_its_largest_file_and_nothing_else(
    output: OutputDirectory,
) -> None:
    """The evidence fits, the archive beside it does not: likewise."""
    await _drops_the_noise_only(output, _noise(_DISK_MB * 2 // 3))


async def test_a_bundle_that_does_not_fit_at_all_is_one_line(
    disk: Path, output: OutputDirectory
) -> None:
    """Somebody else takes the room while it is collected: it is gone, the next one is there."""
    filler = disk / "filler"
    script = f"head -c {2 * _DISK_MB * _MB} /dev/zero >{filler} 2>/dev/null"
    taker = UserAction("taker", ("sh", "-c", script), 20.0)
    full = collector(_config(taker), output)
    logs = await collect(full, trigger("taker", "good"))
    assert [e["error"] for e in logs if e["event"] == "bundle_failed"] == [
        "the bundle could not be written: no space left on device"
    ]
    assert _names(output) == []
    filler.unlink()
    await collect(full, trigger("good"))
    assert len(_names(output)) == 1


async def test_nothing_is_begun_on_a_disk_that_is_nearly_full(
    disk: Path, output: OutputDirectory
) -> None:
    """With 3 MB left no directory is made; the log says how much there is."""
    filler = _fill(disk, 3 * _MB)
    size = filler.stat().st_size
    logs = await collect(collector(_config(), output), trigger("good"))
    (failed,) = [entry for entry in logs if entry["event"] == "bundle_failed"]
    assert failed["error"].startswith("the bundle could not be written: only ")
    assert failed["error"].endswith(" bytes of disk space are free")
    assert _names(output) == []
    assert filler.stat().st_size == size


async def test_old_bundles_make_room(disk: Path, output: OutputDirectory) -> None:
    """The cleaner goes by the space that is really free, and the newest stays."""
    now_ns = time.time_ns()
    names = [BundleName(now_ns - hours * 3600 * 10**9, "x").archive for hours in range(5)]
    for name in names:
        (output.batches / name).write_bytes(os.urandom(5 * _MB))
    filler = _fill(disk, _MB)
    budget = Cleanup(max_total_log_size_mb=200, min_free_mb=12)
    await Cleaner(config(cleanup=budget), output, structlog.get_logger()).clean_once()
    assert {path.name for path in output.batches.iterdir()} == set(names[:2])
    assert filler.exists()


async def test_leftovers_go_when_there_is_no_room_to_salvage_them(disk: Path) -> None:
    """An agent that starts on a full disk starts, and no half archive is left."""
    with OutputDirectory.prepare(disk / "aod") as output:
        _leave(output.batches_fd)
        noise = output.batches / _NAME.directory / "journalctl.log"
        noise.write_bytes(os.urandom(_DISK_MB // 2 * _MB))
    _fill(disk, 0)
    with OutputDirectory.prepare(disk / "aod") as output:
        assert (output.salvaged, output.removed) == (0, 1)
        assert _names(output) == []


async def test_a_disk_without_an_inode_is_one_line(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where not even a directory can be made, the command says so and gives a hint."""
    with suppress(OSError):
        for number in range(100):
            (disk / str(number)).mkdir()
    assert cli.main(["replay", str(_RECORDING), "--output-dir", str(disk / "aod")]) == 1
    _, err = capsys.readouterr()
    assert err.startswith(f"aodasync: error: output directory: {disk / 'aod'}: no space left on")
    assert "(hint: " in err
