# SPDX-License-Identifier: MIT
"""The cleaner: keeps bundles within their budget of age, size and free space."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
from structlog.typing import FilteringBoundLogger

from aodasync.bundle.archive import read_manifest
from aodasync.bundle.bundle_name import MANIFEST_SUFFIX, BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import orphans, remove_with_manifest
from aodasync.bundle.retention import (
    Budget,
    Plan,
    Rank,
    StoredFile,
    boottime_of,
    plan_cleanup,
    rank_of,
)
from aodasync.config.model import Config
from aodasync.errors import AodasyncError
from aodasync.host.clock import real_and_boot_ns
from aodasync.host.facts import boot
from aodasync.host.threads import in_thread

__all__ = ["Cleaner", "CleanerMetrics"]


@dataclass(slots=True)
class CleanerMetrics:
    """Counts since the start, and what the last run left."""

    runs: int = 0
    deleted: int = 0
    freed_bytes: int = 0
    failures: int = 0
    kept: int = 0
    total_bytes: int = 0
    last_ms: float = 0.0


class Cleaner:
    """Cleans up every ``cleanup_interval_sec``, and when woken.

    ``clocks`` returns CLOCK_REALTIME and CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        log: FilteringBoundLogger,
        clocks: Callable[[], tuple[int, int]] = real_and_boot_ns,
    ) -> None:
        self._clocks = clocks
        self._wake = asyncio.Event()
        self.reconfigure(config)
        self._output = output
        self._log = log.bind(component="cleaner")
        self._known: dict[str, tuple[Rank, int | None]] = {}
        self._stuck: frozenset[str] = frozenset()
        self.metrics = CleanerMetrics()

    def reconfigure(self, config: Config) -> None:
        """Keep another budget, from now on."""
        self._interval_sec = config.cleanup.cleanup_interval_sec
        self._budget = Budget.of(config.cleanup)
        self._wake.set()

    def wake(self) -> None:
        """Clean up soon: a bundle was written."""
        self._wake.set()

    async def run(self) -> None:
        """Clean up until cancelled."""
        while True:
            self._wake.clear()
            await self.clean_once()
            with anyio.move_on_after(self._interval_sec):
                await self._wake.wait()

    async def clean_once(self) -> None:
        """Plan and delete, in a worker thread. What cannot be deleted is logged once and stays."""
        begun_sec = time.monotonic()
        try:
            plan, failures = await in_thread(self._clean)
        except OSError as error:
            self.metrics.failures += 1
            self._log.warning("cleanup_failed", error=str(error))
            return
        metrics = self.metrics
        deleted = [file for file in plan.delete if file.name not in failures]
        freed_bytes = sum(file.size_bytes for file in deleted)
        metrics.runs += 1
        metrics.deleted += len(deleted)
        metrics.freed_bytes += freed_bytes
        metrics.failures += len(failures)
        metrics.kept = len(plan.keep) + len(plan.delete) - len(deleted)
        metrics.total_bytes = sum(f.size_bytes for f in (*plan.keep, *plan.delete)) - freed_bytes
        metrics.last_ms = (time.monotonic() - begun_sec) * 1e3
        for name, reason in failures.items():
            # One that an administrator made immutable is not news each minute.
            if name not in self._stuck:
                self._log.warning("cleanup_failed", file=name, error=reason)
        self._stuck = frozenset(failures)
        report = self._log.info if deleted else self._log.debug
        report(
            "cleanup_done",
            deleted=len(deleted),
            freed_bytes=freed_bytes,
            kept=metrics.kept,
            total_bytes=metrics.total_bytes,
        )

    def _clean(self) -> tuple[Plan, dict[str, str]]:
        """Delete what the plan says; returns it with the error of each file that stayed."""
        batches_fd = self._output.batches_fd
        space = os.fstatvfs(batches_fd)
        now_ns, boottime_ns = self._clocks()
        make_plan = partial(
            plan_cleanup,
            now_ns=now_ns,
            boottime_ns=boottime_ns,
            free_bytes=space.f_bavail * space.f_frsize,
            budget=self._budget,
        )
        left = _delete(orphans(batches_fd), batches_fd)
        stored, failures = _stored(batches_fd)
        failures |= left
        plan = make_plan(stored)
        if not plan.delete:
            return plan, failures
        # Only now is it of interest what is in them.
        files = self._read([*plan.delete, *plan.keep])
        plan = make_plan(files)
        stuck = _delete((file.name for file in plan.delete), batches_fd)
        if stuck:  # others go in the place of those that stay
            plan = make_plan(files, stay=stuck.keys())
            stuck |= _delete((file.name for file in plan.delete), batches_fd)
        self._known |= {file.name: (file.rank, file.boottime_ns) for file in plan.keep}
        return plan, failures | stuck

    def _read(self, files: list[StoredFile]) -> list[StoredFile]:
        """The files with what their manifests say of them, each read once."""
        known, boot_id = self._known, boot()["id"]
        self._known = {f.name: known.get(f.name) or self._look(f.name, boot_id) for f in files}
        return [
            replace(file, rank=rank, boottime_ns=boottime_ns)
            for file in files
            for rank, boottime_ns in [self._known[file.name]]
        ]

    def _look(self, name: str, boot_id: str | None) -> tuple[Rank, int | None]:
        try:
            path = Path(f"/proc/self/fd/{self._output.batches_fd}/{name}")
            manifest = read_manifest(path)
        except AodasyncError:
            return Rank.FIRST, None
        return rank_of(manifest), boottime_of(manifest, boot_id)


def _stored(batches_fd: int) -> tuple[list[StoredFile], dict[str, str]]:
    """The bundles with the space that they take, and the error of each that cannot be looked at."""
    files: list[StoredFile] = []
    failures: dict[str, str] = {}
    manifests: dict[BundleName, int] = {}
    with os.scandir(batches_fd) as entries:
        for entry in entries:
            name = BundleName.parse(entry.name.removesuffix(MANIFEST_SUFFIX))
            if name is None:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                # A collection renames or removes it meanwhile: not one to clean up.
                continue
            except OSError as error:
                failures[entry.name] = _reason(error)
                continue
            if entry.name == name.manifest:
                manifests[name] = status.st_size
            elif stat.S_ISREG(status.st_mode):
                files.append(StoredFile(entry.name, status.st_size, status.st_mtime_ns))
    return [_with_manifest(file, manifests) for file in files], failures


def _with_manifest(file: StoredFile, manifests: Mapping[BundleName, int]) -> StoredFile:
    """The archive with the space that its manifest takes."""
    name = BundleName.parse(file.name)
    more_bytes = manifests.get(name, 0) if name else 0
    return replace(file, size_bytes=file.size_bytes + more_bytes)


def _delete(files: Iterable[str], batches_fd: int) -> dict[str, str]:
    """Delete files, an archive with its manifest; returns the error of each that stays."""
    stuck = {}
    for file in files:
        try:
            remove_with_manifest(file, batches_fd=batches_fd)
        except OSError as error:
            stuck[file] = _reason(error)
    return stuck


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
