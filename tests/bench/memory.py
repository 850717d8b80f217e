# SPDX-License-Identifier: MIT
"""Resident memory of the agent: at its start, with a full recorder, after bundles."""

from __future__ import annotations

import time
from collections.abc import Iterator

from aodasync.config.model import Recorder
from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background

__all__ = ["measure"]

BOUND_MB = 45.0
_CHUNK = 1000
_SETTLE_SEC = 1.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    with bench.rig() as rig:
        background = Background(rig, connection_id=1)
        with AgentProcess(bench.scratch, types=bench.types, maps=rig.maps) as agent:
            agent.wait_for("agent_ready")
            yield from _resident(agent, "at the start")
            rows = Recorder().max_events
            for _ in range(rows // _CHUNK + 5):
                background.run(_CHUNK)
                time.sleep(0.005)
            time.sleep(_SETTLE_SEC)
            held = agent.status()["recorder"]["held"]
            assert held == rows, f"{held} of {rows} rows recorded"
            yield from _resident(agent, f"recorder full ({rows} rows)")
            agent.forget_peak()  # status has copied the recorder
            for number in (1, 2, 3):
                agent.snapshot()
                time.sleep(_SETTLE_SEC)
                if number == 1:
                    yield from _resident(agent, "after a bundle", BOUND_MB)
            yield from _resident(agent, "after three bundles", BOUND_MB)
            peak_mb = agent.memory_kb()["VmHWM"] / 1024
            yield Figure("peak, while a bundle was collected", peak_mb, "MB")
        background.close()


def _resident(agent: AgentProcess, when: str, bound: float | None = None) -> Iterator[Figure]:
    memory = agent.memory_kb()
    note = f"{memory['RssAnon'] / 1024:.1f} own, {memory['RssFile'] / 1024:.1f} of files"
    yield Figure(f"resident {when}", memory["VmRSS"] / 1024, "MB", bound, note)
