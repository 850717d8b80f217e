# SPDX-License-Identifier: MIT
"""The clock steps, the host is suspended, it boots in 1970: order, age and detection stay right."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.bundle.archive import list_bundles
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.config.model import Cleanup
from aodasync.events import EventBatch
from aodasync.evidence import history
from aodasync.host.facts import boot
from aodasync.tasks.cleaner import Cleaner
from aodasync.tasks.history_keeper import HistoryKeeper
from tests.builders import MS, SECOND, config, finding, hang_anomaly, latency_anomaly, request
from tests.unit.tasks.test_detector import Bench, FakeClock

_HOUR = 3600 * SECOND
_DAY = 24 * _HOUR
_NOW = 20_700 * _DAY  # in 2026
_CLEANUP = Cleanup(max_log_age_days=2.0, max_total_log_size_mb=100.0, min_free_mb=0.0)

STEPS = {
    "three days forward and back": (0, 3 * _DAY, 3 * _DAY, 0, 0),
    "three days back and forward": (0, -3 * _DAY, -3 * _DAY, 0, 0),
    "a boot in 1970, then the time": (-_NOW, -_NOW, -_NOW, 0, 0),
    "back to 1970": (0, -_NOW, -_NOW, -_NOW, -_NOW),
    "to and fro": (0, 3 * _DAY, -3 * _DAY, 30 * _DAY, 0),
}


class Host:
    """Its clocks, and a directory into which bundles are written."""

    def __init__(self, output: OutputDirectory) -> None:
        self.output = output
        self.boottime_ns, self.step_ns = _HOUR, 0
        self.cleaner = Cleaner(
            config(cleanup=_CLEANUP), output, structlog.get_logger(), self.clocks
        )

    def clocks(self) -> tuple[int, int]:
        """CLOCK_REALTIME and CLOCK_BOOTTIME."""
        return _NOW + self.boottime_ns + self.step_ns, self.boottime_ns

    def write(self, *, boot_id: object = None) -> str:
        """A bundle of now; its name."""
        now_ns, boottime_ns = self.clocks()
        partial = PartialBundle(BundleName(now_ns, "latency"), self.output.batches_fd)
        partial.create(now_ns)
        written_in = {"id": boot_id or boot()["id"], "boottime_ns": boottime_ns}
        partial.write("manifest.json", json.dumps({"boot": written_in}).encode())
        pack(
            partial.name,
            batches_fd=self.output.batches_fd,
            mtime_sec=now_ns // SECOND,
            cancelled=Event(),
        )
        partial.remove()
        seconds = now_ns / SECOND
        os.utime(self.output.batches / partial.name.archive, (seconds, seconds))
        return partial.name.archive

    def stored(self) -> list[str]:
        """What is there, oldest first, as it is listed."""
        return [bundle.path.name for bundle in list_bundles(self.output.path)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that booted an hour ago."""
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        yield Host(output)


@pytest.mark.anyio
@pytest.mark.parametrize("steps_ns", STEPS.values(), ids=STEPS)
async def test_bundles_stay_and_sort_as_they_were_made(
    host: Host, steps_ns: tuple[int, ...]
) -> None:
    """Of one an hour, with a clock that steps in between, none goes and the last is the newest."""
    made = []
    for step_ns in steps_ns:
        host.boottime_ns += _HOUR
        host.step_ns = step_ns
        made.append(host.write())
        await host.cleaner.clean_once()
        assert host.stored() == made
    assert host.cleaner.metrics.failures == 0


@pytest.mark.anyio
async def test_a_day_asleep_makes_nothing_older_than_it_is(host: Host) -> None:
    """CLOCK_BOOTTIME goes on: after a day all is there, after three only the newest."""
    made = [host.write(), host.write()]
    host.boottime_ns += _DAY
    await host.cleaner.clean_once()
    assert host.stored() == made
    host.boottime_ns += 2 * _DAY
    await host.cleaner.clean_once()
    assert host.stored() == made[1:]


@pytest.mark.anyio
async def test_the_newest_of_an_earlier_boot_is_known_by_its_name(host: Host) -> None:
    """Though its file is of an earlier time: the clock was set back before it was written."""
    made = [host.write(boot_id="earlier")]
    host.step_ns = -_HOUR
    made.append(host.write(boot_id="earlier"))
    host.step_ns = 10 * _DAY
    await host.cleaner.clean_once()
    assert host.stored() == made[1:]


def test_a_name_follows_only_one_that_is_ahead_of_the_clock(host: Host) -> None:
    """A bundle decided upon first and made second keeps its own time; so does a replay's."""
    batches_fd = host.output.batches_fd
    for name, now_ns, got in (
        (500, 1000, 500),
        (400, 1000, 400),
        (300, 450, 501),
        (300, 450, 502),
        (300, None, 300),
        (2000, 2000, 2000),
    ):
        partial = PartialBundle(BundleName(name, "hang"), batches_fd)
        partial.create(now_ns)
        os.close(partial.directory_fd)
        assert partial.name.realtime_ns == got


def test_a_name_that_no_clock_can_give_moves_no_other(host: Host) -> None:
    """One of 20 digits would otherwise push names beyond what a name can be."""
    (host.output.batches / f"aod_quick_{10**20 - 1}_hang.tar.zst").touch()
    partial = PartialBundle(BundleName(5, "hang"), host.output.batches_fd)
    partial.create(5)
    os.close(partial.directory_fd)
    assert partial.name.realtime_ns == 5


class SteppingClock(FakeClock):
    """Its CLOCK_REALTIME is set now and then."""

    step_ns = 0

    def realtime_ns(self) -> int:
        return _NOW + self.now_ns + self.step_ns


@pytest.mark.parametrize("steps_ns", STEPS.values(), ids=STEPS)
def test_nothing_fires_and_nothing_ends_when_the_clock_steps(steps_ns: tuple[int, ...]) -> None:
    """Quick requests stay quick; a hang that goes on goes on, and its age is that of before."""
    bench = Bench(hang_anomaly(), latency_anomaly(acceptable_count=1))
    clock = bench.detector._clock = bench.clock = SteppingClock()
    with capture_logs() as logs:
        for second in range(2, 40):
            clock.step_ns = steps_ns[second * len(steps_ns) // 40]
            clock.now_ns = second * SECOND
            quick = request(released_ns=clock.now_ns, latency_ns=MS)
            bench.detector.process(EventBatch(quick, clock.now_ns))
            bench.detector.tick(clock.now_ns)
    (detected,) = logs
    assert (detected["event"], detected["anomaly"]) == ("anomaly_detected", "hang")
    assert detected["max_latency_ms"] == 5000.0
    assert bench.triggers.qsize() == 1


@pytest.mark.anyio
@pytest.mark.parametrize("steps_ns", STEPS.values(), ids=STEPS)
async def test_the_history_keeps_its_order(tmp_path: Path, steps_ns: tuple[int, ...]) -> None:
    """The last episode is the newest; no agent's start lets a young one go, or takes its id."""
    clock = SteppingClock()
    ids = []
    (tmp_path / "state").mkdir()
    for step_ns in steps_ns:
        clock.now_ns += _HOUR
        clock.step_ns = step_ns
        keeper = HistoryKeeper(tmp_path / "state", clock, structlog.get_logger())
        running = asyncio.create_task(keeper.run())
        keeper._put("began", 1, anomaly="hang", server="nas", began_ns=clock.realtime_ns())
        ids.append(keeper.id_of(1))
        await keeper.finish()
        running.cancel()
        assert [episode.id for episode in history.read(tmp_path / "state")] == ids


@pytest.mark.anyio
@pytest.mark.parametrize("step_ns", [3 * _DAY, -3 * _DAY])
async def test_an_episode_lasted_as_long_as_it_did(tmp_path: Path, step_ns: int) -> None:
    """Ten seconds, though the clock stepped by days in between."""
    (tmp_path / "state").mkdir()
    clock = SteppingClock()
    keeper = HistoryKeeper(tmp_path / "state", clock, structlog.get_logger())
    running = asyncio.create_task(keeper.run())
    found = finding("hang", first_ns=clock.now_ns)
    keeper.began(1, found, "")
    clock.step_ns, clock.now_ns = step_ns, clock.now_ns + 10 * SECOND
    keeper.ended(1, found)
    await keeper.finish()
    running.cancel()
    (episode,) = history.read(tmp_path / "state")
    assert episode.ended_ns == clock.realtime_ns()
    assert episode.ended_ns - episode.began_ns == 10 * SECOND


def test_two_boots_without_a_clock_have_other_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both begin in the same second of 1970."""
    clock, found = SteppingClock(), set()
    clock.step_ns = -_NOW
    for boot_id in ("6b3f2c1e-aaaa", "0d7a99f3-bbbb"):
        monkeypatch.setattr("aodasync.tasks.history_keeper.boot", lambda at=boot_id: {"id": at})
        found.add(HistoryKeeper(Path("/nonexistent"), clock, structlog.get_logger()).id_of(1))
    assert len(found) == 2
