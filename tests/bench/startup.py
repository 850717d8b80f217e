# SPDX-License-Identifier: MIT
"""Start-up, from exec to ``agent_ready``, with each step's share.

Types (6 MB) and byte code are those of a real start; what is missing is the attachment
(see :mod:`tests.bench.unattached`), some milliseconds a program on a host with a client.
Starts with and without cached byte code take turns.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench

__all__ = ["measure"]

WARM_MS = 400.0
COLD_MS = 1000.0

_RUNS = 7
_STEPS = {
    "imports": "interpreter, imports, configuration (to 10 ms)",
    "ahead": "beside them: types, symbols, bcc, read by the child",
    "layout": "layout",
    "compile": "compilation",
    "cache": "byte code from the cache",
    "load": "maps and programs",
    "rest": "threads, the child's answer",
}


@dataclass(frozen=True, slots=True)
class _Start:
    total_ms: float
    steps_ms: dict[str, float]


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    first = _start(bench)
    yield Figure("first start, Python's own byte code included", first.total_ms, "ms")
    cold, warm = [], []
    for _ in range(_RUNS):
        shutil.rmtree(bench.scratch / "state" / "cache")
        cold.append(_start(bench))
        warm.append(_start(bench))
    yield from _figures("without cached byte code", cold, COLD_MS)
    yield from _figures("with cached byte code", warm, WARM_MS)


def _start(bench: Bench) -> _Start:
    with AgentProcess(bench.scratch, types=bench.types) as agent:
        ready = agent.wait_for("agent_ready")
        total_ms = (time.monotonic() - agent.started_sec) * 1e3
    return _Start(total_ms, ready["steps_ms"])


def _figures(what: str, starts: Sequence[_Start], bound: float) -> Iterator[Figure]:
    total_ms = statistics.median(start.total_ms for start in starts)
    note = f"median of {len(starts)}"
    yield Figure(f"start {what}", total_ms, "ms", bound, note)
    for step, meaning in _STEPS.items():
        if step in starts[0].steps_ms:
            median_ms = statistics.median(start.steps_ms[step] for start in starts)
            share = f"{median_ms / total_ms:.0%}"
            yield Figure(f"  {meaning}", median_ms, "ms", note=share)
