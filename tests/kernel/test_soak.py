# SPDX-License-Identifier: MIT
"""Ten thousand bundles on a real disk: the cleaner keeps its budget and leaves the loop free."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
import structlog
import zstandard

from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.retention import Rank, StoredFile
from aodasync.config.model import Cleanup
from aodasync.tasks.cleaner import Cleaner
from tests.builders import config
from tests.kernel.collecting import Lag, sampled_lag

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("as_the_agent")]

BUNDLES: Final = 10_000
LAG_MS: Final = 20.0
GROWTH_MB: Final = 16.0

_AT_ONCE: Final = 5_000
_A_TIME: Final = 250
_MINUTE_NS: Final = 60 * 10**9
_HOUR_NS: Final = 60 * _MINUTE_NS
_EVERY_NS: Final = 7 * _MINUTE_NS
_ANOMALIES: Final = ("latency", "error", "hang", "connection")
_STARTED_NS: Final = 1_700_000_000 * 10**9


def _archive(anomaly: str, phase: str) -> bytes:
    """A bundle of nothing but what retention reads."""
    manifest = json.dumps({"anomaly": {"name": anomaly, "type": anomaly, "phase": phase}}).encode()
    entry = tarfile.TarInfo("x/manifest.json")
    entry.size = len(manifest)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(manifest))
    return zstandard.ZstdCompressor().compress(plain.getvalue())


@dataclass
class _Disk:
    """Bundles as an agent would have written them, one each seven minutes."""

    output: OutputDirectory
    now_ns: int = _STARTED_NS
    ranks: dict[str, Rank] = field(default_factory=dict)
    last_ns: dict[str, int] = field(default_factory=dict)
    written: int = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            number, self.written = self.written, self.written + 1
            self.now_ns += _EVERY_NS
            anomaly = _ANOMALIES[0 if number % 3 else number // 3 % len(_ANOMALIES)]
            phase = "end" if number % 11 == 0 else "start"
            name = BundleName(self.now_ns, anomaly).archive
            path = self.output.batches / name
            path.write_bytes(_archive(anomaly, phase))
            os.utime(path, ns=(self.now_ns, self.now_ns))
            soon = self.now_ns - self.last_ns.get(anomaly, 0) < _HOUR_NS
            self.last_ns[anomaly] = self.now_ns
            if anomaly in ("hang", "connection") and phase == "start":
                self.ranks[name] = Rank.CRITICAL
            else:
                self.ranks[name] = Rank.REPEAT if soon or phase == "end" else Rank.FIRST

    def stored(self) -> dict[str, StoredFile]:
        with os.scandir(self.output.batches) as entries:
            return {
                entry.name: StoredFile(
                    entry.name,
                    entry.stat().st_size,
                    entry.stat().st_mtime_ns,
                    self.ranks[entry.name],
                )
                for entry in entries
            }


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Disk]:
    """An empty one, whose time is the cleaner's."""
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        disk = _Disk(output)
        clock = SimpleNamespace(
            time_ns=lambda: disk.now_ns,
            monotonic=time.monotonic,
            clock_gettime_ns=lambda _clock: disk.now_ns - _STARTED_NS,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        monkeypatch.setattr("aodasync.tasks.cleaner.time", clock)
        yield disk


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _check(before: dict[str, StoredFile], disk: _Disk, cleanup: Cleanup) -> None:
    """Within both budgets, and what went was worth less, or older, than what stayed."""
    after = disk.stored()
    newest = {max(name for name in before if name.endswith(f"_{a}.tar.zst")) for a in _ANOMALIES}
    spared = newest & after.keys()
    total = sum(file.size_bytes for file in after.values())
    assert total <= cleanup.max_total_log_size_mb * (1 << 20) or after.keys() == spared
    oldest_ns = disk.now_ns - round(cleanup.max_log_age_days * 24 * _HOUR_NS)
    assert all(file.modified_ns >= oldest_ns for file in after.values())
    assert newest <= after.keys()
    went = [
        (file.rank, file.modified_ns)
        for name, file in before.items()
        if name not in after and file.modified_ns >= oldest_ns
    ]
    stayed = [(file.rank, file.modified_ns) for name, file in after.items() if name not in spared]
    assert not went or not stayed or max(went) < min(stayed)


async def test_ten_thousand_bundles_are_kept_within_budget(disk: _Disk) -> None:
    """5,000 found at the start, the rest written bit by bit, with a pass of the cleaner each time.

    The budget holds after each pass, newer critical ones outlive older repeats, the loop is
    never late, and memory does not grow with what was deleted.
    """
    size_mb = len(_archive("latency", "start")) / (1 << 20)
    cleanup = Cleanup(max_log_age_days=20, max_total_log_size_mb=3000 * size_mb, min_free_mb=0)
    cleaner = Cleaner(config(cleanup=cleanup), disk.output, structlog.get_logger())
    lag = Lag()
    passes_ms = []
    resident_mb = 0.0
    disk.write(_AT_ONCE)
    while disk.written < BUNDLES:
        before = disk.stored()
        async with sampled_lag(into=lag):
            await cleaner.clean_once()
        passes_ms.append(cleaner.metrics.last_ms)
        _check(before, disk, cleanup)
        resident_mb = resident_mb or _resident_mb()
        disk.write(_A_TIME)
    grown_mb = _resident_mb() - resident_mb
    kept = list(disk.stored().values())
    print(
        f"{disk.written} bundles, {len(kept)} kept, {cleaner.metrics.deleted} deleted in"
        f" {len(passes_ms)} passes: the first {passes_ms[0]:.0f} ms, the others at most"
        f" {max(passes_ms[1:]):.0f} ms; memory grew by {grown_mb:.1f} MB"
    )
    print(lag)
    assert cleaner.metrics.failures == 0
    assert grown_mb < GROWTH_MB
    assert lag.p99_ms < LAG_MS
