# SPDX-License-Identifier: MIT
"""Memory of the agent: at its start, with a full recorder, after bundles.

What it costs the host is **private dirty** memory: pages that it alone has and that no file
holds. Resident memory also counts clean pages of libraries, which the page cache would keep
anyway and gives up when memory is short; it is shown beside, and so is the peak.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from aodasync.config.model import Recorder
from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background

__all__ = ["measure"]

BOUND_MB = 36.0
_CHUNK = 1000
_SETTLE_SEC = 1.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures.

    Libraries that were installed a moment ago are not on disk yet. Their pages are dirty, though
    the page cache's, and smaps_rollup counts them as the process's: they are written first.
    """
    os.sync()
    with bench.rig() as rig:
        background = Background(rig, connection_id=1)
        with AgentProcess(bench.scratch, types=bench.types, maps=rig.maps) as agent:
            agent.wait_for("agent_ready")
            yield from _memory(agent, "at the start")
            rows = Recorder().max_events
            for _ in range(rows // _CHUNK + 5):
                background.run(_CHUNK)
                time.sleep(0.005)
            time.sleep(_SETTLE_SEC)
            held = agent.status()["recorder"]["held"]
            assert held == rows, f"{held} of {rows} rows recorded"
            yield from _memory(agent, f"recorder full ({rows} rows)")
            agent.forget_peak()  # status has copied the recorder
            for number in (1, 2, 3):
                agent.snapshot()
                time.sleep(_SETTLE_SEC)
                if number == 1:
                    yield from _memory(agent, "after a bundle")
            yield from _memory(agent, "after three bundles", BOUND_MB)
            peak_mb = agent.memory_kb()["VmHWM"] / 1024
            yield Figure("peak, while a bundle was collected", peak_mb, "MB")
        background.close()


def _memory(agent: AgentProcess, when: str, bound: float | None = None) -> Iterator[Figure]:
    memory = {name: kb / 1024 for name, kb in agent.memory_kb().items()}
    own, of_files = f"{memory['RssAnon']:.1f} own", f"{memory['RssFile']:.1f} of files"
    note = f"resident {memory['VmRSS']:.1f} MB: {own}, {of_files}"
    yield Figure(f"private dirty {when}", memory["Private_Dirty"], "MB", bound, note)
