# SPDX-License-Identifier: MIT
"""The collector turns triggers into whole archives, or into nothing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import zstandard
from structlog.testing import capture_logs

from aodasync.actions import Action, ActionContext, Collected, Cost, UserAction
from aodasync.actions.crash_memory import CrashMemory
from aodasync.bundle import writing
from aodasync.bundle.archive import load_recording, read_manifest, verify
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Cleanup, Config
from aodasync.config.model import Collector as Limits
from aodasync.errors import OutputDirectoryError
from aodasync.events import OPERATION, EventArray, Kind, WaitsFor
from aodasync.evidence.model import Connection, Sample, Snapshot, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host import state_file
from aodasync.process.children import Children
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.tasks import collector as module
from aodasync.tasks.collector import Collector
from aodasync.verdict.judge import NOT_JUDGED, Verdict
from tests.builders import MS, archives, config, latency_anomaly, request, requests, trouble
from tests.builders import finding as made_finding
from tests.loop_lag import loop_lag

pytestmark = pytest.mark.anyio


class _Source:
    """Evidence that a test holds in its hand."""

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.errors: dict[str, str] = {}
        self.recorder = FlightRecorder(100)
        self.recorder.append(requests(*(request(released_ns=n * MS) for n in range(1, 11))))

    def events(self, since: int = 0) -> EventArray:
        return self.recorder.snapshot(since)

    def recorded(self) -> int:
        return self.recorder.appended

    def snapshot(self, *_tables: str) -> Snapshot:
        now_ns = time.monotonic_ns()
        waiting = request("SMB2_WRITE", released_ns=0, latency_ns=0, session_id=0xAB)
        waiting["issued_ns"] = now_ns - 5000 * MS
        operation = np.zeros(1, OPERATION)
        operation["started_ns"] = now_ns - 5000 * MS
        operation["pid"], operation["comm"] = os.getpid(), b"ls"
        operation["function"], operation["waits_for"] = b"cifs_readdir", WaitsFor.CREDITS
        return Snapshot(
            in_flight=waiting,
            operations=operation,
            connections={1: Connection(1, "nas", "10.0.0.1", 445)},
            shares={(7, 1): "//nas/home"},
            losses={"ring_full": 0},
            figures={"operations_full": 3},
            facts={"agent": {"version": "1"}, "kernel": {"release": "6.1"}, "probe": {"name": "t"}},
            errors=self.errors,
        )


def _own(name: str, script: str, timeout_sec: float = 20.0) -> UserAction:
    return UserAction(name, ("sh", "-c", script), timeout_sec)


_GOOD = _own("good", "echo good")
_BAD = _own("bad", "exit 2")


def _config(*user_actions: UserAction, **changes: Any) -> Config:
    return config(latency_anomaly(), user_actions=user_actions, **changes)


def _trigger(*actions: str, anomaly: str = "latency") -> Trigger:
    finding = made_finding() if anomaly == "latency" else None
    return Trigger(anomaly, finding, actions, time.monotonic_ns(), time.time_ns(), 1)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    """A prepared output directory."""
    with OutputDirectory.prepare(tmp_path / "aod") as directory:
        yield directory


def _collector(
    configuration: Config, output: OutputDirectory, source: _Source | None = None, **options: Any
) -> Collector:
    log = structlog.get_logger()
    children = Children()
    return Collector(configuration, output, source or _Source(), log, children=children, **options)


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
    return [path.name for path in archives(output.batches)]


def _files(path: Path) -> dict[str, bytes]:
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(entry.name, tar.extractfile(entry)) for entry in tar if entry.isreg()]
        return {name.rpartition("/")[2]: file.read() for name, file in files if file}


async def test_a_trigger_becomes_a_whole_archive(output: OutputDirectory) -> None:
    """From the trigger to a .tar.zst with manifest, requests, and a file an action.

    The manifest is also beside it, for those who index bundles without unpacking them.
    """
    collector = _collector(_config(_GOOD, _BAD), output)
    trigger = _trigger("bad", "mounts", "good")
    logs = await _collect(collector, trigger)
    name = BundleName.of(trigger.decided_realtime_ns, "latency")
    assert _names(output) == [name.archive]
    path = output.batches / name.archive
    assert verify(path) == ()
    manifest, rows = load_recording(path)
    beside = output.batches / name.manifest
    assert json.loads(beside.read_bytes()) == manifest
    assert beside.stat().st_mode & 0o777 == 0o600
    assert len(rows) == 10
    assert manifest["anomaly"]["max_latency_ms"] == 77.5
    assert manifest["anomaly"]["configured"]["acceptable_count"] == 3
    assert manifest["verdict"]["cause"] == "unknown"
    assert manifest["probe"] == {"name": "t"}
    assert [a["name"] for a in manifest["actions"]] == ["mounts", "bad", "good"]
    assert [a["error"] for a in manifest["actions"]] == [None, "exit status 2", None]
    contents = _files(path)
    own = {"manifest.json", "inflight.json", "operations.json", "samples.json", "events.npy"}
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
    path = next(archives(output.batches))
    assert [a["file"] for a in read_manifest(path)["actions"]] == ["mounts.log", "tcpdump.pcap"]
    assert _files(path)["tcpdump.pcap"] == b"packets"


async def test_requests_in_flight_are_those_of_the_decision(output: OutputDirectory) -> None:
    """inflight.json is taken first, and says who waits for what, and how long."""
    await _collect(_collector(_config(), output), _trigger())
    (entry,) = json.loads(_files(next(archives(output.batches)))["inflight.json"])
    assert 5000 <= entry["age_ms"] < 20_000
    assert (entry["command"], entry["server"]) == ("SMB2_WRITE", "nas")


async def test_operations_are_those_of_the_decision(output: OutputDirectory) -> None:
    """operations.json says what each waits for; the stacks of those that wait are shown."""
    await _collect(_collector(_config(), output), _trigger("stacks"))
    path = next(archives(output.batches))
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


async def test_a_table_that_cannot_be_read_costs_one_entry(output: OutputDirectory) -> None:
    """The bundle is written all the same, and its manifest says which table it lacks and why."""
    source = _Source()
    source.errors = {"shares": "lookup_batch: Cannot allocate memory"}
    await _collect(_collector(_config(_GOOD), output, source), _trigger("good"))
    (path,) = archives(output.batches)
    assert verify(path) == ()
    assert read_manifest(path)["unreadable"] == source.errors


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
    _, rows = load_recording(next(archives(output.batches)))
    assert rows["released_ns"].tolist() == [n * MS for n in (*range(1, 11), 99)]


async def test_events_over_their_share_are_shortened_and_the_manifest_says_so(
    output: OutputDirectory,
) -> None:
    """With AODv2's half a megabyte and less, a quarter of it is all that events may take."""
    cleanup = Cleanup(max_total_log_size_mb=4 * 3 * 96 / (1 << 20))
    await _collect(_collector(_config(cleanup=cleanup), output), _trigger())
    manifest, rows = load_recording(next(archives(output.batches)))
    assert rows["released_ns"].tolist() == [8 * MS, 9 * MS, 10 * MS]
    assert manifest["events"]["count"] == 3
    assert [t["left_out_rows"] for t in manifest["truncations"]] == [7]


async def test_truncated_output_is_in_the_manifest(output: OutputDirectory) -> None:
    """An action cut to its cap is complete, marked, and listed among the truncations."""
    limits = Limits(max_action_bytes=2000)
    collector = _collector(_config(_own("big", "seq 100000"), collector=limits), output)
    await _collect(collector, _trigger("big"))
    manifest = read_manifest(next(archives(output.batches)))
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


async def test_a_first_manifest_comes_between_what_decays_and_the_rest(
    output: OutputDirectory,
) -> None:
    """It competes with nothing that decays; before other actions begin it is there."""
    seen = {}

    def look(name: str, cost: Cost) -> Action:
        async def collect(context: ActionContext) -> Collected:
            await asyncio.sleep(0.05)
            with os.scandir(context.directory_fd) as entries:
                seen[name] = {entry.name for entry in entries}
            return Collected()

        return Action(name, f"{name}.log", cost, collect)

    looks = look("volatile", Cost.VOLATILE), look("table", Cost.TABLE)
    await _collect(_collector(_config(), output, captures=looks), _trigger())
    assert {"events.npy", "inflight.json"} <= seen["volatile"] < seen["table"]
    assert seen["table"] - seen["volatile"] == {"manifest.json"}


async def test_replay_collects_what_needs_no_host(output: OutputDirectory) -> None:
    """In a replay nothing is run: an entry each, no file, and the requests all the same."""
    collector = _collector(_config(_GOOD), output, _Source(live=False))
    logs = await _collect(collector, _trigger("good", "dmesg"))
    path = next(archives(output.batches))
    assert verify(path) == ()
    manifest = read_manifest(path)
    assert manifest["live"] is False
    assert {(a["error"], a["file"]) for a in manifest["actions"]} == {("needs the live host", None)}
    assert [entry["event"] for entry in logs] == ["bundle_written"]


async def test_the_verdict_is_in_manifest_and_log(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reached, in a thread, on all that was recorded and a sample taken at the end."""
    later = Sample(5, (), {})

    def judge(_trigger: Trigger, **given: Any) -> Verdict:
        assert given["later"] is later
        return Verdict("server", "low", "It is slow.", evidence={"rows": len(given["rows"])})

    monkeypatch.setattr(writing, "judge", judge)
    collector = _collector(_config(_GOOD), output, sample=lambda: later)
    logs = await _collect(collector, _trigger("good"))
    verdict = read_manifest(next(archives(output.batches)))["verdict"]
    assert (verdict["cause"], verdict["sentence"]) == ("server", "It is slow.")
    assert verdict["evidence"] == {"rows": 10}
    assert [e["verdict"] for e in logs if e["event"] == "bundle_written"] == ["server"]


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
    path = next(archives(output.batches))
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
    contents = _files(next(archives(output.batches)))
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
    output: OutputDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is told to stop writes what it has: what hangs costs its entry, no child stays.

    What the action had printed is kept, and one that had not begun says the same.
    """
    monkeypatch.setattr(module, "_ACTIONS_SHARE", 0.1)
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
        await collector.finish(20)
        runner.cancel()
    assert 2.0 <= time.monotonic() - begun < 5.0
    (path,) = archives(output.batches)
    assert verify(path) == ()
    errors = {a["name"]: a["error"] for a in read_manifest(path)["actions"]}
    cut = "cut short: the agent is stopping"
    assert errors == {"good": None, "slow": cut, "later": cut}
    assert _files(path)["slow.log"] == b"begun\n"
    assert [entry["name"] for entry in logs if entry["event"] == "action_failed"] == [
        "slow",
        "later",
    ]
    await asyncio.sleep(0.1)  # the loop reaps what was killed
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_finish_drops_what_is_late_and_leaves_nothing(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that is not even written in the grace is given up, all of it, with one log line."""

    def slow(trigger: Trigger, **_: Any) -> Verdict:
        time.sleep(1.5 * trigger.episode)
        return NOT_JUDGED

    monkeypatch.setattr(writing, "judge", slow)
    collector = _collector(_config(_GOOD), output)
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        queue.put_nowait(replace(_trigger("good"), episode=0))
        queue.put_nowait(_trigger("good"))
        await asyncio.sleep(0)
        await collector.finish(1.0)
        runner.cancel()
    assert len(_names(output)) == 1
    assert verify(next(archives(output.batches))) == ()
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
    collector = _collector(_config(_own("big", "seq 2000000")), output)
    async with loop_lag() as lags:
        await _collect(collector, *(_trigger("big", "dmesg", "mounts") for _ in range(3)))
    assert len(_names(output)) == 3
    lags.sort()
    assert lags[len(lags) // 2] < 20
    assert lags[len(lags) * 95 // 100] < 50


async def _collected_while(
    output: OutputDirectory, happens: Callable[[], object]
) -> tuple[list[Any], list[Path | None]]:
    """What was logged, and the paths reported, of a bundle during which something happens."""
    done: list[Path | None] = []
    collector = _collector(
        _config(_own("wait", "sleep 0.3")), output, on_done=lambda _, path: done.append(path)
    )
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        queue.put_nowait(_trigger("wait"))
        await asyncio.sleep(0.15)
        happens()
        await collector.finish(20)
        queue.put_nowait(_trigger("wait"))
        await queue.join()
        runner.cancel()
    return logs, done


async def test_a_directory_that_is_renamed_meanwhile_is_noticed_and_made_anew(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """No path is reported that does not exist; the next bundle is at its path again."""
    moved = tmp_path / "moved"
    logs, (first, second) = await _collected_while(output, lambda: output.batches.rename(moved))
    assert first is None
    (failed,) = [entry for entry in logs if entry["event"] == "bundle_failed"]
    assert failed["error"] == (
        f"the bundle could not be written: {output.batches} was moved or removed meanwhile"
    )
    assert second is not None
    assert verify(second) == ()
    assert [entry["event"] for entry in logs].count("output_directory_recreated") == 1


async def test_a_directory_that_is_removed_is_made_anew(output: OutputDirectory) -> None:
    """Its mode and its lock are as at the start; bundles go on."""
    logs, (first, second) = await _collected_while(output, lambda: shutil.rmtree(output.path))
    assert first is None
    assert second is not None
    assert verify(second) == ()
    assert output.batches.stat().st_mode & 0o777 == 0o700
    with pytest.raises(OutputDirectoryError, match="another aodasync writes"):
        OutputDirectory.prepare(output.path)
    assert "output_directory_recreated" in [entry["event"] for entry in logs]


async def test_a_directory_that_cannot_be_made_anew_is_one_line(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """A link in its place is not followed."""

    def replace_by_link() -> None:
        output.batches.rename(tmp_path / "moved")
        output.batches.symlink_to(tmp_path)

    logs, done = await _collected_while(output, replace_by_link)
    assert done == [None, None]
    errors = [entry["error"] for entry in logs if entry["event"] == "bundle_failed"]
    assert "is a symbolic link" in errors[1]


async def test_an_action_left_out_for_crashes_is_reported_at_the_start(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """One line names it and how it is tried again; bundles go on without it."""
    running = {"version": "1", "running": ["good"]}
    state_file.save(tmp_path, "running-actions.json", running)
    state_file.save(tmp_path, "crashed-actions.json", {"crashes": {"good": 1}})
    memory = CrashMemory(tmp_path, "1")
    collector = _collector(_config(_GOOD, _own("other", "echo")), output, memory=memory)
    logs = await _collect(collector, _trigger("good", "other"))
    (line,) = [entry for entry in logs if entry["event"] == "action_left_out"]
    assert (line["name"], line["crashes"], line["hint"]) == ("good", 2, "aodasync doctor --retry")
    (path,) = archives(output.batches)
    errors = {entry["name"]: entry["error"] for entry in read_manifest(path)["actions"]}
    assert errors["other"] is None
    assert str(errors["good"]).startswith("left out: it ran at two crashes in a row")


async def test_an_early_end_runs_nothing_that_crashed(
    output: OutputDirectory, tmp_path: Path
) -> None:
    """What is queued when the agent ends right after its start waits for what is remembered."""
    running = {"version": "1", "running": ["good"]}
    state_file.save(tmp_path, "running-actions.json", running)
    state_file.save(tmp_path, "crashed-actions.json", {"crashes": {"good": 1}})

    class Slow(CrashMemory):
        def load(self) -> None:
            time.sleep(0.3)
            super().load()

    collector = _collector(_config(_GOOD), output, memory=Slow(tmp_path, "1"))
    logs = await _collect(collector, _trigger("good"))
    assert "action_left_out" in [entry["event"] for entry in logs]
    (path,) = archives(output.batches)
    (action,) = read_manifest(path)["actions"]
    assert str(action["error"]).startswith("left out")


class _FailedOver(_Source):
    """The connection goes to another server as soon as it was looked at once."""

    looked = False

    def snapshot(self, *_tables: str) -> Snapshot:
        now = super().snapshot(*_tables)
        other = {1: Connection(1, "nas2", "10.0.0.2", 445)}
        now, self.looked = (replace(now, connections=other) if self.looked else now), True
        return now


async def test_the_verdict_is_about_the_server_that_failed(output: OutputDirectory) -> None:
    """Not about the one that a DFS failover led to while the evidence was collected."""
    await _collect(_collector(_config(_GOOD), output, _FailedOver()), _trigger("good"))
    verdict = read_manifest(next(archives(output.batches)))["verdict"]
    assert verdict["evidence"]["address"] == "10.0.0.1"
    assert any("10.0.0.1" in step for step in verdict["next"])
    assert not any("10.0.0.2" in step for step in verdict["next"])


async def test_the_verdict_on_a_lost_connection_waits_for_the_next_login(
    output: OutputDirectory,
) -> None:
    """Refused a moment after the evidence was collected, it is the cause."""
    source = _Source()
    now_ns = time.monotonic_ns()
    source.recorder.append(trouble(Kind.RECONNECT, at_ns=now_ns, connection_id=1))
    finding = made_finding("connection", codes=("RECONNECT",), first_ns=now_ns)
    trigger = Trigger("connection", finding, ("good",), now_ns, time.time_ns(), 1)

    async def refuse() -> None:
        await asyncio.sleep(0.5)
        at_ns = time.monotonic_ns()
        status = STATUS_CODES["STATUS_LOGON_FAILURE"]
        login = request("SMB2_SESSION_SETUP", released_ns=at_ns, status=status, connection_id=1)
        source.recorder.append(login)

    refusing = asyncio.create_task(refuse())
    await _collect(_collector(_config(_GOOD), output, source), trigger)
    await refusing
    verdict = read_manifest(next(archives(output.batches)))["verdict"]
    assert verdict["rule"] == "credentials refused"
    assert time.monotonic_ns() - now_ns < 5000 * MS
