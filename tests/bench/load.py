# SPDX-License-Identifier: MIT
"""What the agent takes of one core, with the shipped configuration, at a given rate of requests.

What it takes without any is in :mod:`tests.bench.idle`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background, Pace

__all__ = ["BOUNDS", "measure", "share_at"]

# Requests a second, whether they come evenly, and the share of one core in per cent that they
# may take.
BOUNDS = ((2_000, False, 1.0), (100_000, False, 1.5), (100_000, True, 1.5))

_PREPARED_SEC = 2.0  # the collector prepares itself half a second after the start, for 50 ms
_SETTLE_SEC = 0.5
_SPAN_SEC = 4.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    with bench.rig() as rig:
        background = Background(rig, connection_id=1)
        with AgentProcess(bench.scratch, types=bench.types, maps=rig.maps) as agent:
            agent.wait_for("agent_ready")
            time.sleep(_PREPARED_SEC)
            for rate, even, bound in BOUNDS:
                pace = Pace(background, rate, even=even)
                _keep(pace, _SETTLE_SEC)
                cpu_sec, begun_sec = agent.cpu_sec(), time.monotonic()
                before = background.offered
                _keep(pace, _SPAN_SEC)
                elapsed_sec = time.monotonic() - begun_sec
                share = 100 * (agent.cpu_sec() - cpu_sec) / elapsed_sec
                note = f"{(background.offered - before) / elapsed_sec:,.0f}/s offered"
                yield Figure(share_at(rate, even=even), share, "%", bound, note)
            time.sleep(_SETTLE_SEC)
            status = agent.status()
            read, lost = status["reader"]["events"], sum(status["losses"].values())
            unread = background.offered - read - lost
            yield Figure("events neither read nor counted as lost", unread, "", 0)
            yield Figure("events lost", lost, "", 0)
        background.close()


def share_at(rate: int, *, even: bool = False) -> str:
    """The figure's name."""
    return f"share of one core at {rate:,} events/s" + ", one after another" * even


def _keep(pace: Pace, span_sec: float) -> None:
    now_sec = time.monotonic()
    pace.keep(now_sec, now_sec + span_sec)
