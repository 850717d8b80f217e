# SPDX-License-Identifier: MIT
"""An agent that is stopped finishes what it collects, in bounded time."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import structlog

from aodasync import agent as module
from aodasync.actions import UserAction
from aodasync.agent import Agent
from aodasync.bundle.archive import list_bundles, read_manifest, verify
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.events import EventBatch
from aodasync.probes.interface import Probe
from aodasync.probes.shared import LOSS_COUNTERS
from aodasync.tasks import collector
from tests.builders import MS, config, latency_anomaly, request

pytestmark = pytest.mark.anyio

_UNIT = Path(__file__).parents[2] / "config" / "aodasync.service"


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OutputDirectory]:
    """A prepared output directory, and a directory for what is learnt."""
    monkeypatch.setattr(module, "STATE_DIR", tmp_path / "state")
    with OutputDirectory.prepare(tmp_path / "aod") as directory:
        yield directory


def _agent(output: OutputDirectory, *own: UserAction) -> Agent:
    names = tuple(action.name for action in own)
    configuration = config(
        latency_anomaly(actions=("versions",)),
        user_actions=own,
        watcher_actions=("mounts", *names),
        output_dir=output.path,
    )
    return Agent(configuration, output=output, run_dir=output.path, log=structlog.get_logger())


async def _stop(agent: Agent, *, slow: bool) -> list[str]:
    """Live for a moment, with a slow request or without, and stop; returns bundles' anomalies."""
    pipeline = agent._pipeline
    tasks = [asyncio.create_task(run()) for run in (pipeline.detector.run, pipeline.collect)]
    now_ns = time.monotonic_ns()
    row = request(released_ns=now_ns, latency_ns=2000 * MS if slow else MS)
    await pipeline.batches.put(EventBatch(row, now_ns))
    await agent._bring_in()
    await asyncio.sleep(0.1)  # the loop reaps what was killed
    for task in tasks:
        task.cancel()
    bundles = list_bundles(agent._config.output_dir)
    assert [verify(bundle.path) for bundle in bundles] == [()] * len(bundles)
    return sorted(bundle.name.anomaly for bundle in bundles)


async def test_an_open_episode_gets_a_snapshot_at_the_end(output: OutputDirectory) -> None:
    """Stopped amid an anomaly, the agent leaves its bundle and one of how it stood at the end."""
    assert await _stop(_agent(output), slow=True) == ["latency", "snapshot"]
    snapshot = list_bundles(output.path)[-1]
    manifest = read_manifest(snapshot.path)
    assert manifest["events"]["count"] == 1
    assert [action["name"] for action in manifest["actions"]] == ["mounts"]


async def test_without_an_episode_there_is_no_snapshot(output: OutputDirectory) -> None:
    """A quiet agent stops without a bundle."""
    assert await _stop(_agent(output), slow=False) == []


async def test_what_hangs_does_not_hold_up_the_stop(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is written in the grace although one of its actions never ends."""
    monkeypatch.setattr(module, "_GRACE_SEC", 20.0)
    monkeypatch.setattr(collector, "_ACTIONS_SHARE", 0.1)
    begun_sec = time.monotonic()
    hanging = UserAction("hangs", ("sleep", "inf"), 600.0)
    assert await _stop(_agent(output, hanging), slow=True) == ["latency", "snapshot"]
    assert 2 <= time.monotonic() - begun_sec < 5
    errors = {
        a["name"]: a["error"] for a in read_manifest(list_bundles(output.path)[-1].path)["actions"]
    }
    assert errors == {"mounts": None, "hangs": "cut short: the agent is stopping"}


async def test_the_last_bundles_have_their_hook(output: OutputDirectory, tmp_path: Path) -> None:
    """Those that are written at the stop, too: its end waits a moment for their commands."""
    agent = _agent(output)
    script = f'sleep 0.3; basename "$BUNDLE" >> {tmp_path}/handed'
    agent._hooks.reconfigure(config(on_bundle=("sh", "-c", script)))
    running = asyncio.create_task(agent._hooks.run())
    assert await _stop(agent, slow=True) == ["latency", "snapshot"]
    running.cancel()
    handed = (tmp_path / "handed").read_text().split()
    assert sorted(handed) == sorted(bundle.path.name for bundle in list_bundles(output.path))


async def test_a_hundred_snapshots_at_once_are_all_answered(output: OutputDirectory) -> None:
    """Those that find the collector's queue full learn it at once, not after a minute."""
    agent = _agent(output)
    asked = [asyncio.create_task(agent._snapshots.ask()) for _ in range(100)]
    await asyncio.sleep(0.1)
    refused = [task.result() for task in asked if task.done()]
    assert len(refused) == 100 - agent._pipeline.triggers.maxsize
    assert all("too many" in answer["error"] for answer in refused)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_systemd_waits_longer_than_the_agent_takes() -> None:
    """The unit's TimeoutStopSec is more than all the steps of a stop together."""
    found = re.search(r"^TimeoutStopSec=(\d+)$", _UNIT.read_text(), re.MULTILINE)
    assert found is not None
    steps_sec = module._DRAIN_SEC + module._GRACE_SEC + collector._CANCEL_SEC + module._HOOKS_SEC
    assert int(found[1]) >= steps_sec + 5


async def test_everything_that_it_lost_is_in_the_losses(output: OutputDirectory) -> None:
    """So manifest, status, metrics and the log have it: they all show a snapshot's losses."""
    agent = _agent(output)
    agent._live.metrics.cut_off = 2
    agent._hooks.metrics.dropped = 3
    agent._pipeline.detector.metrics.dropped_triggers = 4
    agent._children.abandoned = 5
    agent._history.dropped = 6
    losses = agent._evidence.snapshot().losses
    assert {
        "live_readers_cut_off": 2,
        "hooks_dropped": 3,
        "triggers": 4,
        "children_left_behind": 5,
        "history_records": 6,
    }.items() <= losses.items()
    assert {"log_lines", "audit_lines", "threads_left_behind", "bpf_reads"} <= losses.keys()
    assert agent._metrics()["losses"] == losses
    assert agent._metric_facts()["losses"] == losses
    assert "operations_full" in {counter.name.lower() for counter in LOSS_COUNTERS}


async def test_what_is_skipped_for_being_smb1_is_not_recorded(output: OutputDirectory) -> None:
    """A thousand of them would otherwise hide that of SMB2 nothing is seen."""
    agent = _agent(output)
    losses = {"ring_full": 3, "unended": 4}
    tables = {"losses": lambda: losses, "figures": lambda: {"smb1_skipped": 1000}}
    agent._evidence.probe = cast("Probe", SimpleNamespace(tables=tables))
    assert agent._recorded() == 7
