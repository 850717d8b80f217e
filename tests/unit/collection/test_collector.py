# SPDX-License-Identifier: MIT
"""The collector turns triggers into whole archives, or into nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import zstandard
from structlog.testing import capture_logs

from aodasync.actions import Action, ActionContext, Collected, Cost
from aodasync.bundle.archive import load_recording, read_manifest, verify
from aodasync.bundle.judging import Case
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Cleanup, Config, UserAction
from aodasync.config.model import Collector as Limits
from aodasync.events import EventArray
from aodasync.evidence import Connection, Finding, Trigger
from aodasync.operations import OPERATION, OperationArray, WaitsFor
from aodasync.recorder import FlightRecorder
from aodasync.tasks.collector import Collector
from tests.unit.builders import MS, config, latency_anomaly, request, requests

pytestmark = pytest.mark.anyio

_FINDING = Finding(
    anomaly="latency",
    type="latency",
    server="nas",
    commands=("SMB2_READ",),
    codes=(),
    count=4,
    acceptable_count=3,
    threshold_ms=10.0,
    max_latency_ms=77.5,
    first_ns=5,
    last_ns=9,
    emergency=False,
)


class _Source:
    """Evidence that a test holds in its hand."""

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.recorder = FlightRecorder(100)
        self.recorder.append(requests(*(request(released_ns=n * MS) for n in range(1, 11))))

    def events(self, since: int = 0) -> EventArray:
        return self.recorder.snapshot(since)

    def recorded(self) -> int:
        return self.recorder.appended

    def in_flight(self) -> EventArray:
        row = request("SMB2_WRITE", released_ns=0, latency_ns=0, session_id=0xAB)
        row["issued_ns"] = time.monotonic_ns() - 5000 * MS
        return row

    def operations(self) -> OperationArray:
        row = np.zeros(1, OPERATION)
        row["started_ns"] = time.monotonic_ns() - 5000 * MS
        row["pid"], row["comm"], row["function"] = os.getpid(), b"ls", b"cifs_readdir"
        row["waits_for"] = WaitsFor.CREDITS
        return row

    def losses(self) -> Mapping[str, int]:
        return {"ring_full": 0}

    def connections(self) -> Mapping[int, Connection]:
        return {1: Connection(1, "nas", "10.0.0.1", 445)}

    def shares(self) -> Mapping[tuple[int, int], str]:
        return {(7, 1): "//nas/home"}

    def facts(self) -> Mapping[str, Any]:
        return {"agent": {"version": "1"}, "kernel": {"release": "6.1"}, "probe": {"name": "t"}}


def _own(name: str, script: str, timeout_sec: float = 20.0) -> UserAction:
    return UserAction(name, ("sh", "-c", script), timeout_sec)


_GOOD = _own("good", "echo good")
_BAD = _own("bad", "exit 2")


def _config(*user_actions: UserAction, **changes: Any) -> Config:
    return config(latency_anomaly(), user_actions=user_actions, **changes)


def _trigger(*actions: str, anomaly: str = "latency") -> Trigger:
    finding = _FINDING if anomaly == "latency" else None
    return Trigger(anomaly, finding, actions, time.monotonic_ns(), time.time_ns(), 1)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    """A prepared output directory."""
    with OutputDirectory.prepare(tmp_path / "aod") as directory:
        yield directory


def _collector(
    configuration: Config, output: OutputDirectory, source: _Source | None = None, **options: Any
) -> Collector:
    return Collector(configuration, output, source or _Source(), structlog.get_logger(), **options)


async def _collect(collector: Collector, *triggers: Trigger) -> list[Any]:
    """Run the triggers through; returns what was logged."""
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        for trigger in triggers:
            queue.put_nowait(trigger)
        await asyncio.sleep(0)
        await collector.finish(20)
        runner.cancel()
    return logs


def _names(output: OutputDirectory) -> list[str]:
    return sorted(path.name for path in output.batches.iterdir())


def _files(path: Path) -> dict[str, bytes]:
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(entry.name, tar.extractfile(entry)) for entry in tar if entry.isreg()]
        return {name.rpartition("/")[2]: file.read() for name, file in files if file}


async def test_a_trigger_becomes_a_whole_archive(output: OutputDirectory) -> None:
    """From the trigger to a .tar.zst with manifest, requests, and a file an action."""
    collector = _collector(_config(_GOOD, _BAD), output)
    trigger = _trigger("bad", "mounts", "good")
    logs = await _collect(collector, trigger)
    name = BundleName.of(trigger.decided_realtime_ns, "latency")
    assert _names(output) == [name.archive]
    path = output.batches / name.archive
    assert verify(path) == ()
    manifest, rows = load_recording(path)
    assert len(rows) == 10
    assert manifest["anomaly"]["max_latency_ms"] == 77.5
    assert manifest["anomaly"]["configured"]["acceptable_count"] == 3
    assert manifest["verdict"]["cause"] == "unknown"
    assert manifest["probe"] == {"name": "t"}
    assert [a["name"] for a in manifest["actions"]] == ["mounts", "bad", "good"]
    assert [a["error"] for a in manifest["actions"]] == [None, "exit status 2", None]
    contents = _files(path)
    own = {"manifest.json", "inflight.json", "operations.json", "events.npy"}
    assert contents.keys() - own == {
        *("mounts.log", "bad.log", "good.log"),
    }
    assert contents["good.log"] == b"good\n"
    written = next(entry for entry in logs if entry["event"] == "bundle_written")
    assert {k: written[k] for k in ("path", "bytes", "actions_ok", "actions_failed")} == {
        "path": str(path),
        "bytes": path.stat().st_size,
        "actions_ok": 2,
        "actions_failed": 1,
    }
    assert written["component"] == "collector"
    assert written["verdict"] == "unknown"
    assert written["collect_ms"] > 0
    (failed,) = [entry for entry in logs if entry["event"] == "action_failed"]
    assert (failed["name"], failed["error"], failed["bundle"]) == (
        "bad",
        "exit status 2",
        str(name),
    )
    metrics = collector.metrics
    assert (metrics.triggers, metrics.bundles_written, metrics.bundles_failed) == (1, 1, 0)
    assert (metrics.actions_ok, metrics.actions_failed) == (2, 1)
    assert metrics.max_ms["good"] > 0
    assert metrics.bytes_written == path.stat().st_size


async def test_captures_are_in_every_bundle_of_a_live_host(output: OutputDirectory) -> None:
    """Whatever actions a trigger names, the window of what always runs is there as well."""

    async def window(context: ActionContext) -> Collected:
        await context.write("packets")
        return Collected()

    capture = Action("tcpdump", "tcpdump.pcap", Cost.LOG, window)
    await _collect(_collector(_config(), output, captures=(capture,)), _trigger("mounts"))
    path = next(output.batches.iterdir())
    assert [a["file"] for a in read_manifest(path)["actions"]] == ["mounts.log", "tcpdump.pcap"]
    assert _files(path)["tcpdump.pcap"] == b"packets"


async def test_requests_in_flight_are_those_of_the_decision(output: OutputDirectory) -> None:
    """inflight.json is taken first, and says who waits for what, and how long."""
    await _collect(_collector(_config(), output), _trigger())
    (entry,) = json.loads(_files(next(output.batches.iterdir()))["inflight.json"])
    assert 5000 <= entry["age_ms"] < 20_000
    assert (entry["command"], entry["server"]) == ("SMB2_WRITE", "nas")


async def test_operations_are_those_of_the_decision(output: OutputDirectory) -> None:
    """operations.json says what each waits for; the stacks of those that wait are shown."""
    await _collect(_collector(_config(), output), _trigger("stacks"))
    path = next(output.batches.iterdir())
    (entry,) = json.loads(_files(path)["operations.json"])
    assert 5000 <= entry.pop("age_ms") < 20_000
    assert entry.pop("started_ns") > 0
    assert entry == {
        "function": "cifs_readdir",
        "waits_for": "credits",
        "pid": os.getpid(),
        "tgid": 0,
        "comm": "ls",
        "xid": 0,
    }
    assert read_manifest(path)["operations"] == {"file": "operations.json", "count": 1}
    assert f"tid {os.getpid()} " in _files(path)["stacks.log"].decode()


async def test_events_reach_to_the_end_of_collection(output: OutputDirectory) -> None:
    """What happens while evidence is collected is in the recording, once."""
    source = _Source()
    collector = _collector(_config(_own("wait", "sleep 0.5")), output, source)
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    runner = asyncio.create_task(collector.run(queue))
    queue.put_nowait(_trigger("wait"))
    await asyncio.sleep(0.2)
    source.recorder.append(request(released_ns=99 * MS))
    await collector.finish(20)
    runner.cancel()
    _, rows = load_recording(next(output.batches.iterdir()))
    assert rows["released_ns"].tolist() == [n * MS for n in (*range(1, 11), 99)]


async def test_events_over_their_share_are_shortened_and_the_manifest_says_so(
    output: OutputDirectory,
) -> None:
    """With AODv2's half a megabyte and less, a quarter of it is all that events may take."""
    cleanup = Cleanup(max_total_log_size_mb=4 * 3 * 96 / (1 << 20))
    await _collect(_collector(_config(cleanup=cleanup), output), _trigger())
    manifest, rows = load_recording(next(output.batches.iterdir()))
    assert rows["released_ns"].tolist() == [8 * MS, 9 * MS, 10 * MS]
    assert manifest["events"]["count"] == 3
    assert [t["left_out_rows"] for t in manifest["truncations"]] == [7]


async def test_truncated_output_is_in_the_manifest(output: OutputDirectory) -> None:
    """An action cut to its cap is complete, marked, and listed among the truncations."""
    limits = Limits(max_action_bytes=2000)
    collector = _collector(_config(_own("big", "seq 100000"), collector=limits), output)
    await _collect(collector, _trigger("big"))
    manifest = read_manifest(next(output.batches.iterdir()))
    (entry,) = manifest["actions"]
    assert (entry["truncated"], entry["error"]) == (True, None)
    assert entry["bytes"] <= 2000
    assert [t["file"] for t in manifest["truncations"]] == ["big.log"]


async def test_bundles_share_the_slots(output: OutputDirectory, tmp_path: Path) -> None:
    """Bundles overlap in time, but their actions together take max_concurrent slots."""
    mark = f"echo b >>{tmp_path}/log; sleep 0.15; echo e >>{tmp_path}/log"
    names = [f"a{n}" for n in range(3)]
    collector = _collector(
        _config(*(_own(name, mark) for name in names), collector=Limits(max_concurrent=2)), output
    )
    await _collect(collector, _trigger(*names), _trigger(*names))
    running = most = 0
    for line in (tmp_path / "log").read_text().split():
        running += 1 if line == "b" else -1
        most = max(most, running)
    assert most == 2
    assert len(_names(output)) == 2


async def test_replay_collects_what_needs_no_host(output: OutputDirectory) -> None:
    """In a replay nothing is run: an entry each, no file, and the requests all the same."""
    collector = _collector(_config(_GOOD), output, _Source(live=False))
    logs = await _collect(collector, _trigger("good", "dmesg"))
    path = next(output.batches.iterdir())
    assert verify(path) == ()
    manifest = read_manifest(path)
    assert manifest["live"] is False
    assert {(a["error"], a["file"]) for a in manifest["actions"]} == {("needs the live host", None)}
    assert [entry["event"] for entry in logs] == ["bundle_written"]


async def test_verdicts_come_from_the_judge(output: OutputDirectory) -> None:
    """The judge sees requests and files, in a thread; its verdict is in manifest and log."""

    def judge(case: Case) -> Mapping[str, Any]:
        read = Path(f"/proc/self/fd/{case.directory_fd}/good.log").read_text()
        return {"cause": "server", "sentence": read, "evidence": {"rows": len(case.rows)}}

    logs = await _collect(_collector(_config(_GOOD), output, judge=judge), _trigger("good"))
    assert read_manifest(next(output.batches.iterdir()))["verdict"] == {
        "cause": "server",
        "sentence": "good\n",
        "evidence": {"rows": 10},
    }
    assert [e["verdict"] for e in logs if e["event"] == "bundle_written"] == ["server"]


async def test_a_judge_that_fails_costs_the_verdict_alone(output: OutputDirectory) -> None:
    """The bundle is written, and says that there is no verdict and why."""

    def judge(_case: Case) -> Mapping[str, Any]:
        raise ZeroDivisionError("oops")

    await _collect(_collector(_config(), output, judge=judge), _trigger())
    verdict = read_manifest(next(output.batches.iterdir()))["verdict"]
    assert verdict["cause"] == "unknown"
    assert "ZeroDivisionError: oops" in verdict["sentence"]


async def test_disk_full_loses_that_bundle_only(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that cannot be written is one sentence; nothing stays, the next one succeeds."""
    collector = _collector(_config(), output)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        (entry,) = await _collect(collector, _trigger())
    assert entry["event"] == "bundle_failed"
    assert entry["error"] == "the bundle could not be written: no space left on device"
    assert _names(output) == []
    assert collector.metrics.bundles_failed == 1
    await _collect(collector, _trigger())
    assert len(_names(output)) == 1


async def test_a_nearly_full_disk_is_not_filled_up(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hardly any space left nothing is begun, and the log says how much there is."""

    class _Nearly:
        f_bavail, f_frsize = 1024, 1024

    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: _Nearly)
    (entry,) = await _collect(_collector(_config(_GOOD), output), _trigger("good"))
    assert (
        entry["error"]
        == "the bundle could not be written: only 1048576 bytes of disk space are free"
    )
    assert _names(output) == []


async def test_hostile_actions_cost_their_entries_and_no_more(output: OutputDirectory) -> None:
    """One sleeps, one floods, one forks what ignores signals, one is missing: a bundle in time."""
    hostile = (
        UserAction("sleeps", ("sleep", "inf"), 1.0),
        UserAction("floods", ("yes", "password=Hunter2"), 1.0),
        _own("forks", "trap '' TERM INT; (trap '' TERM INT; sleep 300) & sleep 300", 1.0),
        UserAction("missing", ("aod-no-such-tool",), 1.0),
    )
    begun = time.monotonic()
    names = [action.name for action in hostile]
    await _collect(_collector(_config(*hostile, _GOOD), output), _trigger(*names, "good"))
    assert time.monotonic() - begun < 10
    path = next(output.batches.iterdir())
    assert verify(path) == ()
    errors = {a["name"]: a["error"] for a in read_manifest(path)["actions"]}
    assert errors == {
        "sleeps": "timed out after 1 s",
        "floods": "timed out after 1 s",
        "forks": "timed out after 1 s",
        "missing": "aod-no-such-tool is not installed",
        "good": None,
    }
    assert b"Hunter2" not in b"".join(_files(path).values())


async def test_secrets_are_in_no_file_of_a_bundle(output: OutputDirectory) -> None:
    """Printed, complained of, or on the very command line that a manifest states."""
    shows = _own("shows", "echo mount -o user=u,password=Hunter2 //a/b; exit 1")
    fails = _own("fails", "echo 'bad option pass=Hunter2' >&2; exit 2")
    states = UserAction("states", ("echo", "PASSWD=Hunter2", "--token=Hunter2"), 5.0)
    logs = await _collect(
        _collector(_config(shows, fails, states), output), _trigger("shows", "fails", "states")
    )
    contents = _files(next(output.batches.iterdir()))
    assert contents["shows.log"].startswith(b"mount -o user=u,password=********")
    assert b"Hunter2" not in b"".join(contents.values())
    assert "Hunter2" not in str(logs)


async def test_odd_anomaly_names_stay_in_their_directory(output: OutputDirectory) -> None:
    """An anomaly called like a path gives a bundle like any other."""
    await _collect(_collector(_config(), output), _trigger(anomaly="../../evil name"))
    assert [name.partition("_quick_")[2].lstrip("0123456789") for name in _names(output)] == [
        "_------evil-name.tar.zst"
    ]


async def test_whoever_waits_hears_of_each_bundle(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``on_done`` gets each trigger with the path of its bundle, or None if there is none."""
    heard: list[tuple[Trigger, Path | None]] = []
    collector = _collector(
        _config(), output, on_done=lambda trigger, path: heard.append((trigger, path))
    )
    first, second = _trigger(), _trigger(anomaly="hang")
    await _collect(collector, first)
    monkeypatch.setattr(os, "fsync", lambda _descriptor: 1 / 0)
    await _collect(collector, second)
    written = output.batches / BundleName.of(first.decided_realtime_ns, "latency").archive
    assert heard == [(first, written), (second, None)]


async def test_finish_cuts_slow_actions_short_and_keeps_the_bundle(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """An agent that is told to stop writes what it has: what hangs costs its entry, no child stays.

    What the action had printed is kept, and one that had not begun says the same.
    """
    slow = _own("slow", f"echo $$ >{tmp_path}/pid; echo begun; exec sleep 300", 300.0)
    collector = _collector(
        _config(_GOOD, slow, _own("later", "echo"), collector=Limits(max_concurrent=1)), output
    )
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        queue.put_nowait(_trigger("good", "slow", "later"))
        await asyncio.sleep(0)
        begun = time.monotonic()
        await collector.finish(1.5)
        runner.cancel()
    assert 1.0 <= time.monotonic() - begun < 4.0
    (path,) = output.batches.iterdir()
    assert verify(path) == ()
    errors = {a["name"]: a["error"] for a in read_manifest(path)["actions"]}
    cut = "cut short: the agent was told to stop"
    assert errors == {"good": None, "slow": cut, "later": cut}
    assert _files(path)["slow.log"] == b"begun\n"
    assert [entry["name"] for entry in logs if entry["event"] == "action_failed"] == [
        "slow",
        "later",
    ]
    await asyncio.sleep(0.1)  # the loop reaps what was killed
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_finish_drops_what_is_late_and_leaves_nothing(output: OutputDirectory) -> None:
    """A bundle that is not even written in the grace is given up, all of it, with one log line."""

    def slow(case: Case) -> Mapping[str, Any]:
        time.sleep(1.5 * case.trigger.episode)
        return {}

    collector = _collector(_config(_GOOD), output, judge=slow)
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        queue.put_nowait(replace(_trigger("good"), episode=0))
        queue.put_nowait(_trigger("good"))
        await asyncio.sleep(0)
        await collector.finish(1.0)
        runner.cancel()
    assert len(_names(output)) == 1
    assert verify(next(output.batches.iterdir())) == ()
    failed = [entry["error"] for entry in logs if entry["event"] == "bundle_failed"]
    assert failed == ["the agent stopped before it was collected"]
    assert collector.in_hand == 0
    assert queue.empty()


async def test_finish_with_nothing_in_hand_returns_at_once(output: OutputDirectory) -> None:
    """A quiet agent stops without waiting."""
    begun = time.monotonic()
    await _collector(_config(), output).finish(30)
    assert time.monotonic() - begun < 1


async def test_cancelled_at_any_moment_leaves_no_broken_archive(output: OutputDirectory) -> None:
    """Wherever cancellation strikes, what is visible afterwards is whole, and nothing else is."""
    for step in range(12):
        collector = _collector(_config(_own("work", "sleep 0.03; seq 20000")), output)
        queue: asyncio.Queue[Trigger] = asyncio.Queue()
        queue.put_nowait(_trigger("work"))
        with capture_logs():
            runner = asyncio.create_task(collector.run(queue))
            await asyncio.sleep(step * 0.012)
            for task in tuple(collector._in_hand):
                task.cancel()
            await collector.finish(20)
            runner.cancel()
    for name in _names(output):
        assert name.endswith(".tar.zst")
        assert verify(output.batches / name) == ()


async def test_collection_leaves_the_loop_free(output: OutputDirectory) -> None:
    """While bundles are collected, packed and synced, the loop hardly waits."""
    lags = []

    async def watch() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.002)
            lags.append((time.perf_counter() - begun - 0.002) * 1e3)

    watcher = asyncio.create_task(watch())
    collector = _collector(_config(_own("big", "seq 2000000")), output)
    await _collect(collector, *(_trigger("big", "dmesg", "mounts") for _ in range(3)))
    watcher.cancel()
    assert len(_names(output)) == 3
    lags.sort()
    assert lags[len(lags) // 2] < 20
    assert lags[len(lags) * 95 // 100] < 50
