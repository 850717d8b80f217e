# SPDX-License-Identifier: MIT
"""The cleaner deletes what its plan says, by descriptor, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.retention import Rank
from aodasync.config.model import Cleanup
from aodasync.host.facts import boot
from aodasync.tasks.cleaner import Cleaner
from tests.builders import config

pytestmark = pytest.mark.anyio

_MB = 1 << 20
_CLEANUP = Cleanup(
    cleanup_interval_sec=3600, max_log_age_days=1, max_total_log_size_mb=3, min_free_mb=0
)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    """A prepared output directory."""
    with OutputDirectory.prepare(tmp_path / "aod") as directory:
        yield directory


def _cleaner(output: OutputDirectory, cleanup: Cleanup = _CLEANUP) -> Cleaner:
    return Cleaner(config(cleanup=cleanup), output, structlog.get_logger())


def _bundle(output: OutputDirectory, age_sec: float, anomaly: str, size: int = _MB) -> str:
    name = BundleName(time.time_ns() - int(age_sec * 1e9), anomaly).archive
    with (output.batches / name).open("wb") as file:
        file.truncate(size)
    return name


def _names(output: OutputDirectory) -> set[str]:
    return {path.name for path in output.batches.iterdir()}


async def test_manifests_go_with_their_archives(output: OutputDirectory) -> None:
    """One beside a bundle counts in its size and goes with it, or when somebody deleted that."""
    expired, kept = _bundle(output, 90_000, "latency"), _bundle(output, 0, "latency")
    for archive in (expired, kept, "aod_quick_9_latency.tar.zst"):
        (output.batches / archive.replace(".tar.zst", ".json")).write_bytes(b"{}")
    (output.batches / "aod_quick_8_latency.partial").mkdir()
    (output.batches / "aod_quick_8_latency.json").write_bytes(b"{}")
    cleaner = _cleaner(output)
    await cleaner.clean_once()
    collected = {"aod_quick_8_latency.partial", "aod_quick_8_latency.json"}
    assert _names(output) == {kept, kept.replace(".tar.zst", ".json")} | collected
    assert cleaner.metrics.freed_bytes == cleaner.metrics.total_bytes == _MB + 2


async def test_old_and_excess_bundles_go(output: OutputDirectory) -> None:
    """Past their age, then over the size oldest first; strangers and partial ones stay."""
    expired = _bundle(output, 90_000, "latency")
    excess = _bundle(output, 20_000, "latency")
    kept = {_bundle(output, 4000 * n, "latency") for n in range(3)}
    strangers = {"notes.txt", "aod_quick_1_latency.tar.zst.partial"}
    for name in strangers:
        (output.batches / name).write_bytes(b"x")
    cleaner = _cleaner(output)
    with capture_logs() as logs:
        await cleaner.clean_once()
    assert _names(output) == kept | strangers
    assert {expired, excess}.isdisjoint(_names(output))
    assert logs == [
        {
            "component": "cleaner",
            "event": "cleanup_done",
            "log_level": "info",
            "deleted": 2,
            "freed_bytes": 2 * _MB,
            "kept": 3,
            "total_bytes": 3 * _MB,
        }
    ]
    assert (cleaner.metrics.deleted, cleaner.metrics.freed_bytes) == (2, 2 * _MB)


async def test_nothing_to_do_is_not_news(output: OutputDirectory) -> None:
    """A run that deletes nothing is logged for debugging alone."""
    _bundle(output, 5, "latency")
    with capture_logs() as logs:
        await _cleaner(output).clean_once()
    assert [entry["log_level"] for entry in logs] == ["debug"]


async def test_links_are_not_bundles(output: OutputDirectory, tmp_path: Path) -> None:
    """A link of a bundle's name is not deleted, nor what it leads to."""
    target = tmp_path / "target"
    target.write_text("x")
    link = output.batches / BundleName(1, "latency").archive
    link.symlink_to(target)
    await _cleaner(output).clean_once()
    assert link.is_symlink()
    assert target.exists()


async def test_renamed_output_directory_is_still_the_one_cleaned(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """Deletions go by the open directory: one put in its place afterwards is not touched."""
    expired, _ = _bundle(output, 90_000, "latency"), _bundle(output, 5, "latency")
    output.path.rename(tmp_path / "moved")
    (tmp_path / "aod" / "batches").mkdir(parents=True)
    decoy = tmp_path / "aod" / "batches" / expired
    decoy.write_text("x")
    await _cleaner(output).clean_once()
    assert decoy.exists()
    assert not (tmp_path / "moved" / "batches" / expired).exists()


async def test_what_cannot_be_deleted_is_told(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that stays against the plan is logged and counted, and the others go."""
    stuck, other = _bundle(output, 90_002, "error"), _bundle(output, 90_001, "error")
    newest = _bundle(output, 5, "error")
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        if name == stuck:
            raise PermissionError(1, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    cleaner = _cleaner(output)
    with capture_logs() as logs:
        await cleaner.clean_once()
    assert _names(output) == {stuck, newest}
    assert other not in _names(output)
    assert [(e["event"], e.get("file")) for e in logs] == [
        ("cleanup_failed", stuck),
        ("cleanup_done", None),
    ]
    assert (cleaner.metrics.failures, cleaner.metrics.kept) == (1, 2)
    assert cleaner.metrics.total_bytes == 2 * _MB


async def test_others_go_in_the_place_of_one_that_stays(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence that was made immutable counts, so the budget is kept; it is news once."""
    stuck = _bundle(output, 9000, "latency", 2 * _MB)
    older, newer = _bundle(output, 6000, "latency"), _bundle(output, 5, "latency")
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        if name == stuck:
            raise PermissionError(1, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    cleaner = _cleaner(output)
    with capture_logs() as logs:
        await cleaner.clean_once()
        await cleaner.clean_once()
        _bundle(output, 3, "latency")
        await cleaner.clean_once()
    assert older not in _names(output)
    assert newer not in _names(output)
    assert stuck in _names(output)
    assert [e["file"] for e in logs if e["event"] == "cleanup_failed"] == [stuck]
    assert cleaner.metrics.total_bytes == 3 * _MB
    assert (cleaner.metrics.kept, cleaner.metrics.deleted) == (2, 2)


async def test_an_entry_that_cannot_be_looked_at_costs_itself_alone(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file system: the rest is cleaned up, and what is not ours is not asked."""
    broken, expired = _bundle(output, 90_001, "latency"), _bundle(output, 90_000, "latency")
    newest = _bundle(output, 5, "latency")
    (output.batches / "notes.txt").write_text("x")
    scandir = os.scandir

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name in {broken, "notes.txt"}:
                raise OSError(117, "Structure needs cleaning")
            return (output.batches / self.name).stat(follow_symlinks=follow_symlinks)

    @contextmanager
    def scan(batches_fd: int) -> Iterator[list[Entry]]:
        with scandir(batches_fd) as entries:
            yield [Entry(entry.name) for entry in entries]

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(os, "scandir", scan)
        await _cleaner(output).clean_once()
    assert expired not in _names(output)
    assert {broken, newest, "notes.txt"} <= _names(output)
    assert [(e["file"], e["error"]) for e in logs if e["event"] == "cleanup_failed"] == [
        (broken, "structure needs cleaning")
    ]


async def test_entries_of_any_kind_are_left_as_they_are(output: OutputDirectory) -> None:
    """What bears a bundle's name and is no file, and names that no bundle can have."""
    old = BundleName(5, "latency").archive
    strange = [
        *(f"aod_quick_{n}_latency.tar.zst" for n in ("-1", "05", "1e9", "9" * 21, "\u0665")),
        *("aod_quick_5_.tar.zst", "aod_quick_5_a b.tar.zst", "aod_quick_5_\udcff.tar.zst"),
        *("AOD_quick_5_latency.tar.zst", "aod_quick_5_latency.tar.zst.1", "aod_quick_5_latency"),
        *("aod_quick_5_latency.tar", "aod_quick_5_latency.json", f"aod_quick_5_{'x' * 65}.tar.zst"),
        *(".aod_quick_5_latency.tar.zst", "a\nb", "manifest.json"),
    ]
    for name in strange:
        (output.batches / name).write_text("x")
        os.utime(output.batches / name, (0, 0))
    (output.batches / old).mkdir()
    os.mkfifo(output.batches / BundleName(6, "latency").archive)
    _bundle(output, 5, "latency")
    before = _names(output)
    cleaner = _cleaner(output, replace(_CLEANUP, max_total_log_size_mb=0.001))
    await cleaner.clean_once()
    assert _names(output) == before
    assert (cleaner.metrics.failures, cleaner.metrics.kept) == (0, 1)


async def test_bundles_that_cannot_be_read_go_like_others(output: OutputDirectory) -> None:
    """Empty, cut short, of other bytes, with a manifest of any values: none stops the cleaner."""
    sources: list[bytes] = [b"", b"x", b"\x28\xb5\x2f\xfd", b"\0" * 4096]
    for age, content in enumerate(sources):
        name = BundleName(time.time_ns() - (90_000 + age) * 10**9, "latency").archive
        (output.batches / name).write_bytes(content)
    manifests: list[object] = [
        [],
        {"anomaly": []},
        {"anomaly": {"type": [], "grave": "yes", "phase": {}}, "boot": 5},
        {"boot": {"id": boot()["id"], "boottime_ns": 10**300}},
        {"boot": {"id": boot()["id"], "boottime_ns": -1.5e300}},
        {"boot": {"id": {}, "boottime_ns": None}},
    ]
    for age, manifest in enumerate(manifests):
        partial = PartialBundle(
            BundleName(time.time_ns() - (80_000 - age) * 10**9, "latency"), output.batches_fd
        )
        partial.create()
        partial.write("manifest.json", json.dumps(manifest).encode())
        pack(
            partial.name, batches_fd=output.batches_fd, mtime_sec=2**31, cancelled=threading.Event()
        )
        partial.remove()
    newest = _bundle(output, 5, "latency", 100)
    cleaner = _cleaner(output, replace(_CLEANUP, max_total_log_size_mb=0.001))
    await cleaner.clean_once()
    assert newest in _names(output)
    assert cleaner.metrics.failures == 0
    assert cleaner.metrics.total_bytes <= 1049


async def test_it_runs_at_start_and_when_woken(output: OutputDirectory) -> None:
    """Once at the start, then at each wake-up, without waiting for the interval."""
    cleaner = _cleaner(output)
    task = asyncio.create_task(cleaner.run())
    while cleaner.metrics.runs < 1:  # noqa: ASYNC110  # the task works in a thread
        await asyncio.sleep(0.01)
    expired, _ = _bundle(output, 90_000, "latency"), _bundle(output, 5, "latency")
    cleaner.wake()
    while cleaner.metrics.runs < 2:  # noqa: ASYNC110  # likewise
        await asyncio.sleep(0.01)
    task.cancel()
    assert expired not in _names(output)


async def test_what_is_in_a_bundle_decides_when_space_is_short(output: OutputDirectory) -> None:
    """A hang outlives younger repeats; manifests are read when something has to go, once."""
    for age_sec, kind in ((30_000, "hang"), (20_000, "latency"), (10_000, "latency")):
        name = BundleName(time.time_ns() - age_sec * 10**9, f"x{age_sec}")
        partial = PartialBundle(name, output.batches_fd)
        partial.create()
        partial.write("manifest.json", json.dumps({"anomaly": {"type": kind}}).encode())
        pack(name, batches_fd=output.batches_fd, mtime_sec=2**31, cancelled=threading.Event())
        partial.remove()
    for age_sec in (40_000, 5000, 0):
        _bundle(output, age_sec, "x30000")
    cleaner = _cleaner(output, replace(_CLEANUP, max_total_log_size_mb=1.0005))
    await cleaner.clean_once()
    assert sum("x30000" in name for name in _names(output)) == 2
    rank, _ = next(known for name, known in cleaner._known.items() if "x20000" in name)
    assert rank == Rank.FIRST
    assert Rank.CRITICAL in {rank for rank, _ in cleaner._known.values()}
