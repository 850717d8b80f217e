# SPDX-License-Identifier: MIT
"""From the decision that something is an anomaly to its evidence on disk, and to its bundle.

The shipped configuration, every action of it, a full recorder, one bundle after another:
each is of another server, whose WRITE was answered after the emergency threshold. What
decays is on disk when ``volatile_ms`` of ``bundle_written`` is over: the requests in flight,
the recorder, sockets, stacks and pressure. Tables of the SMB client that this kernel has
not are missing from the rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from aodasync.bundle.bundle_name import BundleName
from aodasync.config.model import Recorder
from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background, SlowRequests

__all__ = ["measure"]

VOLATILE_MS = 20.0
WORST_VOLATILE_MS = 60.0
BUNDLE_MS = 100.0

_BUNDLES = 20
_EMERGENCY_SEC = 1.0  # the default
_CHUNK = 1000
_BACKGROUND_ID = 1
_CHANGES = {
    "collector": {"max_bundles_per_hour": 1000},
    # Those that wait for their turn are no anomalies of their own.
    "guardian": {"anomalies": {"hang": {"enabled": False}}},
}


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    with bench.rig() as rig:
        background = Background(rig, _BACKGROUND_ID)
        with AgentProcess(
            bench.scratch, types=bench.types, maps=rig.maps, changes=_CHANGES
        ) as agent:
            agent.wait_for("agent_ready")
            for _ in range(Recorder().max_events // _CHUNK):
                background.run(_CHUNK)
                time.sleep(0.005)
            requests = SlowRequests(rig, count(_BACKGROUND_ID + 1))
            time.sleep(_EMERGENCY_SEC + 0.1)
            written = [_bundle(agent, requests) for _ in range(_BUNDLES)]
        background.close()
    worst = max(written, key=lambda one: one.volatile_ms)
    what = "decision to volatile evidence on disk"
    median_ms = statistics.median(one.volatile_ms for one in written)
    note = f"{_BUNDLES} bundles, recorder full"
    yield Figure(f"{what}, median", median_ms, "ms", VOLATILE_MS, note)
    note = f"its threads waited {worst.waited_ms:.0f} ms for a CPU"
    yield Figure(f"{what}, worst", worst.volatile_ms, "ms", WORST_VOLATILE_MS, note)
    finished_ms = [one.finished_ms for one in written]
    median_ms = statistics.median(finished_ms)
    yield Figure("decision to the bundle, median", median_ms, "ms", BUNDLE_MS)
    yield Figure("decision to the bundle, worst", max(finished_ms), "ms")


@dataclass(frozen=True, slots=True)
class _Bundle:
    """One bundle: ms from the decision, and what all threads waited for a CPU meanwhile."""

    volatile_ms: float
    finished_ms: float
    waited_ms: float


def _bundle(agent: AgentProcess, requests: SlowRequests) -> _Bundle:
    waited_sec = agent.waited_sec()
    requests.answer_one()
    line = agent.wait_for("bundle_written")
    waited_sec = agent.waited_sec() - waited_sec
    return _Bundle(line["volatile_ms"], _finished_ms(line), waited_sec * 1e3)


def _finished_ms(line: dict[str, Any]) -> float:
    """A bundle is named after its decision, in ns since 1970."""
    name = BundleName.parse(line["path"].rpartition("/")[2])
    assert name is not None
    return datetime.fromisoformat(line["timestamp"]).timestamp() * 1e3 - name.realtime_ns / 1e6
