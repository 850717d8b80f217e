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
from typing import Any, TypeAlias

from aodasync import actions
from aodasync.actions import ActionResult
from aodasync.actions.running import not_run, run_actions
from aodasync.bundle import rows as recorded
from aodasync.bundle.inflight import describe_in_flight
from aodasync.bundle.manifest import UNDECIDED, ClockPair, build_manifest, dump
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.children import Children
from aodasync.config.model import Config
from aodasync.events import EventArray
from aodasync.evidence import Connection, EvidenceSource, Trigger
from aodasync.worker import in_thread

__all__ = ["Bundle", "Case", "Judge", "Means", "collect_bundle", "undecided"]

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict is reached upon.

    ``rows`` and ``in_flight`` have shape (N,), dtype EVENT. ``directory_fd`` is
    the open directory with the files of ``results``.
    """

    trigger: Trigger
    rows: EventArray
    in_flight: EventArray
    connections: Mapping[int, Connection]
    losses: Mapping[str, int]
    results: tuple[ActionResult, ...]
    directory_fd: int


Judge: TypeAlias = Callable[[Case], Mapping[str, Any]]
"""Reaches a verdict: ``cause``, ``sentence``, ``evidence``. Called in a worker thread."""


def undecided(_case: Case) -> Mapping[str, Any]:
    """The judge that never decides."""
    return UNDECIDED


@dataclass(frozen=True, slots=True)
class Means:
    """What collection works with; ``slots`` and ``children`` are shared by all bundles."""

    config: Config
    output: OutputDirectory
    source: EvidenceSource
    slots: asyncio.Semaphore
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


async def collect_bundle(
    trigger: Trigger, means: Means, *, done: Callable[[BundleName, ActionResult], None]
) -> Bundle:
    """Collect a bundle; ``done`` is called with each action's result as it comes.

    Raises:
        OSError: it could not be written. Nothing of it is left, nor when cancelled.
    """
    source, batches_fd = means.source, means.output.batches_fd
    in_flight = source.in_flight()
    started = _clocks()
    before = source.events()
    connections = dict(source.connections())
    now_ns = started.monotonic_ns if source.live else trigger.decided_monotonic_ns
    wanted = BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)
    bundle = PartialBundle(wanted, batches_fd)

    def begin() -> None:
        bundle.create()
        bundle.write("inflight.json", dump(describe_in_flight(in_flight, connections, now_ns)))

    def conclude() -> Mapping[str, Any]:
        rows, left_out = recorded.select(before, after, _events_budget(means.config))
        bundle.write_events(rows)
        verdict = _judge(
            means.judge,
            Case(trigger, rows, in_flight, connections, losses, results, bundle.directory_fd),
        )
        manifest = build_manifest(
            bundle=str(bundle.name),
            trigger=trigger,
            anomaly=next((a for a in means.config.anomalies if a.name == trigger.anomaly), None),
            facts=facts,
            live=source.live,
            verdict=verdict,
            actions=results,
            rows=rows,
            in_flight=len(in_flight),
            losses=losses,
            connections=connections,
            started=started,
            ended=ended,
            truncations=[*left_out, *_cut_files(results)],
        )
        bundle.write("manifest.json", dump(manifest))
        return verdict

    try:
        await in_thread(begin)
        results = await _act(trigger, means, bundle.directory_fd, partial(done, bundle.name))
        ended = _clocks()
        after, losses, facts = source.events(), dict(source.losses()), source.facts()
        connections = dict(source.connections())
        verdict = await in_thread(conclude)
        size_bytes = await _pack(bundle.name, batches_fd, started)
    finally:
        await in_thread(bundle.remove)
    return Bundle(
        name=bundle.name,
        path=means.output.batches / bundle.name.archive,
        size_bytes=size_bytes,
        results=results,
        verdict=verdict,
        collect_ms=(time.monotonic_ns() - started.monotonic_ns) / 1e6,
    )


def _clocks() -> ClockPair:
    return ClockPair(time.monotonic_ns(), time.time_ns())


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


def _judge(judge: Judge, case: Case) -> Mapping[str, Any]:
    try:
        return judge(case)
    except Exception as error:  # noqa: BLE001  # evidence without a verdict is still evidence
        return {**UNDECIDED, "sentence": f"The verdict failed: {type(error).__name__}: {error}"}


async def _pack(name: BundleName, batches_fd: int, started: ClockPair) -> int:
    cancelled = threading.Event()
    mtime_sec = started.realtime_ns // 1_000_000_000
    work = partial(pack, name, batches_fd=batches_fd, mtime_sec=mtime_sec, cancelled=cancelled)
    return await in_thread(work, hurry=cancelled.set)
