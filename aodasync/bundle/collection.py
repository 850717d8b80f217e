# SPDX-License-Identifier: MIT
"""One bundle, from the trigger to the archive.

Evidence decays, so the order is: requests in flight and a copy of the recorder
at once, in memory; then the actions, cheap ones first; then the recorder again,
for what happened meanwhile; then verdict, manifest and archive. Until the last
rename there is only ``NAME.partial``, which goes whatever happens.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aodasync import actions
from aodasync.actions import ActionResult
from aodasync.actions.running import not_run, run_actions
from aodasync.bundle import rows as recorded
from aodasync.bundle.inflight import describe_in_flight
from aodasync.bundle.judging import Case, Judge, reach_verdict
from aodasync.bundle.manifest import ClockPair, build_manifest, dump
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.children import Children
from aodasync.config.model import Config
from aodasync.events import EventArray
from aodasync.evidence import Connection, EvidenceSource, Trigger
from aodasync.worker import in_thread

__all__ = ["Bundle", "Means", "collect_bundle"]

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Means:
    """What collection works with; slots, guard and children are shared by all bundles."""

    config: Config
    output: OutputDirectory
    source: EvidenceSource
    slots: asyncio.Semaphore
    guard: asyncio.Lock
    children: Children
    judge: Judge


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is written."""

    name: BundleName
    path: Path
    size_bytes: int
    results: tuple[ActionResult, ...]
    verdict: Mapping[str, Any]
    collect_ms: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What the pipeline knows at one moment; taken on the loop, written by a thread."""

    in_flight: EventArray
    clocks: ClockPair  # after the requests in flight: no age is negative
    rows: EventArray
    connections: Mapping[int, Connection]
    losses: Mapping[str, int]
    facts: Mapping[str, Any]

    @classmethod
    def at(cls, source: EvidenceSource) -> _Look:
        return cls(
            in_flight=source.in_flight(),
            clocks=ClockPair(time.monotonic_ns(), time.time_ns()),
            rows=source.events(),
            connections=dict(source.connections()),
            losses=dict(source.losses()),
            facts=dict(source.facts()),
        )


async def collect_bundle(
    trigger: Trigger, means: Means, *, done: Callable[[BundleName, ActionResult], None]
) -> Bundle:
    """Collect a bundle; ``done`` is called with each action's result as it comes.

    Raises:
        OSError: it could not be written. Nothing of it is left, nor when cancelled.
    """
    before = _Look.at(means.source)
    batches_fd = means.output.batches_fd
    wanted = BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)
    bundle = PartialBundle(wanted, batches_fd)
    try:
        await in_thread(partial(_begin, bundle, trigger, before, live=means.source.live))
        results = await _act(trigger, means, bundle.directory_fd, partial(done, bundle.name))
        after = _Look.at(means.source)
        verdict = await in_thread(
            partial(_conclude, bundle, trigger, means, before=before, after=after, results=results)
        )
        size_bytes = await _pack(bundle.name, batches_fd, before.clocks)
    finally:
        await in_thread(bundle.remove)
    return Bundle(
        name=bundle.name,
        path=means.output.batches / bundle.name.archive,
        size_bytes=size_bytes,
        results=results,
        verdict=verdict,
        collect_ms=(time.monotonic_ns() - before.clocks.monotonic_ns) / 1e6,
    )


def _begin(bundle: PartialBundle, trigger: Trigger, look: _Look, *, live: bool) -> None:
    now_ns = look.clocks.monotonic_ns if live else trigger.decided_monotonic_ns
    bundle.create()
    described = describe_in_flight(look.in_flight, look.connections, now_ns)
    bundle.write("inflight.json", dump(described))


def _conclude(
    bundle: PartialBundle,
    trigger: Trigger,
    means: Means,
    *,
    before: _Look,
    after: _Look,
    results: tuple[ActionResult, ...],
) -> Mapping[str, Any]:
    """Write ``events.npy`` and, on the judge's verdict, ``manifest.json``."""
    rows, left_out = recorded.select(before.rows, after.rows, _events_budget(means.config))
    bundle.write_events(rows)
    case = Case(
        trigger=trigger,
        rows=rows,
        in_flight=before.in_flight,
        connections=after.connections,
        losses=after.losses,
        results=results,
        directory_fd=bundle.directory_fd,
    )
    verdict = reach_verdict(means.judge, case)
    manifest = build_manifest(
        bundle=str(bundle.name),
        trigger=trigger,
        anomaly=next((a for a in means.config.anomalies if a.name == trigger.anomaly), None),
        facts=after.facts,
        live=means.source.live,
        verdict=verdict,
        actions=results,
        rows=rows,
        in_flight=len(before.in_flight),
        losses=after.losses,
        connections=after.connections,
        started=before.clocks,
        ended=after.clocks,
        truncations=[*left_out, *_cut_files(results)],
    )
    bundle.write("manifest.json", dump(manifest))
    return verdict


async def _act(
    trigger: Trigger,
    means: Means,
    directory_fd: int,
    done: Callable[[ActionResult], None],
) -> tuple[ActionResult, ...]:
    chosen = actions.select(trigger.actions, means.config.user_actions)
    if not means.source.live:
        return tuple(not_run(action, "needs the live host") for action in chosen)
    limits = means.config.collector
    results = await run_actions(
        chosen,
        slots=means.slots,
        guard=means.guard,
        children=means.children,
        directory_fd=directory_fd,
        since_realtime_ns=_began_realtime_ns(trigger) - round(limits.look_back_sec * 1e9),
        timeout_sec=limits.action_timeout_sec,
        max_bytes=limits.max_action_bytes,
        done=done,
    )
    return tuple(results)


def _began_realtime_ns(trigger: Trigger) -> int:
    """When the episode began, on the wall clock."""
    if trigger.finding is None or not trigger.finding.first_ns:
        return trigger.decided_realtime_ns
    lasted_ns = trigger.decided_monotonic_ns - trigger.finding.first_ns
    return trigger.decided_realtime_ns - max(0, lasted_ns)


def _events_budget(config: Config) -> int:
    """A quarter of the disk budget, in bytes: one bundle must not displace all others."""
    return round(config.cleanup.max_total_log_size_mb * _MB) // 4


def _cut_files(results: tuple[ActionResult, ...]) -> list[dict[str, Any]]:
    return [
        {"file": result.file, "reason": "cut to max_action_bytes", "kept_bytes": result.bytes}
        for result in results
        if result.truncated
    ]


async def _pack(name: BundleName, batches_fd: int, started: ClockPair) -> int:
    cancelled = threading.Event()
    mtime_sec = started.realtime_ns // 1_000_000_000
    work = partial(pack, name, batches_fd=batches_fd, mtime_sec=mtime_sec, cancelled=cancelled)
    return await in_thread(work, hurry=cancelled.set)
