# SPDX-License-Identifier: MIT
"""From an urgent event to the decision that it is an anomaly, in the product's agent.

WRITEs that have waited for longer than the emergency threshold are answered at
random times, under a background of ordinary requests. Each goes through the byte
code that is attached to the client elsewhere, over the real ring, into an agent
in a process of its own. The agent's own figure is taken, ``detect_ms`` of
``anomaly_detected``: from the release that the kernel side stamped to the decision.

An open episode is not told again, so the servers take turns, and windows are of
0.1 s, so that an episode is over when its server's turn comes again.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from aodasync.evidence.arrays import quantile
from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import WAITING, Background, Pace, SlowRequests

__all__ = ["measure"]

MEDIAN_MS = 0.3
P99_MS = 5.0
P999_MS = 5.0

_RATES = (0, 2_000, 100_000)
_RUNS = 5
_MEAN_GAP_SEC = 0.02
_EMERGENCY_SEC = 1.0  # the default, which takes WAITING gaps less than that to reach
_BACKGROUND_ID = 1
_SERVERS = range(2, 66)
_QUIET_SEC = 0.6
_CHANGES = {
    "watch_interval_sec": 0.1,
    # One bundle: others would be collected while the next urgent events come.
    "collector": {"max_bundles_per_hour": 1},
}


@dataclass(frozen=True, slots=True)
class _Run:
    """``detect_ms`` of the decisions, lag of the loop meanwhile, and the machine's own delay.

    ``undecided`` urgent events had no decision of their own; ``others`` are decisions that
    no urgent event called for.
    """

    detect_ms: list[float]
    undecided: int
    others: int
    begun_ns: int
    ended_ns: int
    late_ms: float

    def lag_ms(self, samples: Sequence[tuple[int, float]]) -> list[float]:
        return [lag for at_ns, lag in samples if self.begun_ns <= at_ns <= self.ended_ns]


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    runs: dict[int, list[_Run]] = {}
    with bench.rig() as rig:
        background = Background(rig, _BACKGROUND_ID)
        with AgentProcess(
            bench.scratch, types=bench.types, maps=rig.maps, changes=_CHANGES, sample_lag=True
        ) as agent:
            agent.wait_for("agent_ready")
            requests = SlowRequests(rig, cycle(_SERVERS))
            time.sleep(_EMERGENCY_SEC + 0.1)
            requests.answer_one()
            agent.wait_for("bundle_written")
            for rate in _RATES:
                runs[rate] = [_run(agent, requests, Pace(background, rate)) for _ in range(_RUNS)]
            lost = sum(agent.status()["losses"].values())
        samples = agent.lag_samples()
        background.close()
    for rate in _RATES:
        yield from _figures(rate, runs[rate], samples)
    undecided = sum(run.undecided for of_rate in runs.values() for run in of_rate)
    others = sum(run.others for of_rate in runs.values() for run in of_rate)
    yield Figure("urgent events without a decision of their own", undecided, "", 0)
    yield Figure("decisions without an urgent event", others, "", 0)
    yield Figure("events lost in all of that", lost, "", 0)


def _run(agent: AgentProcess, requests: SlowRequests, pace: Pace) -> _Run:
    """Answer requests at random times; the first ones wait for a quiet moment to pass."""
    time.sleep(_QUIET_SEC)
    for _ in agent.logged():
        pass
    begun_ns = time.monotonic_ns()
    for _ in range(WAITING):
        now_sec = time.monotonic()
        pace.keep(now_sec, now_sec + random.expovariate(1 / _MEAN_GAP_SEC))
        requests.answer_one()
    ended_ns = time.monotonic_ns()
    time.sleep(_QUIET_SEC)
    detected = [line for line in agent.logged() if line["event"] == "anomaly_detected"]
    detect_ms = [line["detect_ms"] for line in detected if line["emergency"]]
    undecided, others = WAITING - len(detect_ms), len(detected) - len(detect_ms)
    late_ms = 1e3 * _p99(pace.late_sec)
    return _Run(detect_ms, undecided, others, begun_ns, ended_ns, late_ms)


def _figures(
    rate: int, runs: Sequence[_Run], samples: Sequence[tuple[int, float]]
) -> Iterator[Figure]:
    """Medians over the runs of each one's figure, but for the rarest."""
    under = f"at {rate:,} events/s"
    decide = f"event to decision {under}"
    median_ms = statistics.median(statistics.median(run.detect_ms) for run in runs)
    p99_ms = statistics.median(_p99(run.detect_ms) for run in runs)
    p999_ms = quantile(np.array([ms for run in runs for ms in run.detect_ms]), 0.999)
    lags = [run.lag_ms(samples) for run in runs]
    lag_ms = statistics.median(statistics.median(lag) for lag in lags)
    lag_p99_ms = statistics.median(_p99(lag) for lag in lags)
    late_ms = statistics.median(run.late_ms for run in runs)
    note = f"{len(runs)} runs of {WAITING}"
    yield Figure(f"{decide}, median", median_ms, "ms", MEDIAN_MS, note)
    yield Figure(f"{decide}, 99th percentile", p99_ms, "ms", P99_MS)
    yield Figure(f"{decide}, 99.9th percentile", p999_ms, "ms", P999_MS, "of all runs")
    yield Figure(f"{decide}, worst", max(max(run.detect_ms) for run in runs), "ms")
    yield Figure(f"loop lag {under}, median", lag_ms, "ms")
    yield Figure(f"loop lag {under}, 99th percentile", lag_p99_ms, "ms")
    yield Figure(f"any sleeper's lag {under}, 99th percentile", late_ms, "ms", note="the machine")


def _p99(values: list[float]) -> float:
    return quantile(np.array(values), 0.99)
