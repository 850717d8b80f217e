# SPDX-License-Identifier: MIT
"""One bundle, from the trigger to the archive.

Evidence decays, so the order is: requests in flight and a copy of the recorder at
once, and on disk; then the actions, volatile ones first; then the recorder again, for
what happened meanwhile; then verdict, manifest and archive. Until the last rename
there is only ``NAME.partial``, which goes whatever happens.
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
from aodasync.actions import Action, ActionContext, ActionResult
from aodasync.actions.patience import Patience
from aodasync.actions.running import Run, not_run, run_actions
from aodasync.bundle.judging import Judge
from aodasync.bundle.manifest import ClockPair
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.writing import Look, Writer
from aodasync.children import Children
from aodasync.config.model import Config
from aodasync.evidence import EvidenceSource, Trigger
from aodasync.operations import OperationArray, WaitsFor
from aodasync.ranks import distinct
from aodasync.worker import in_thread

__all__ = ["Bundle", "Means", "collect_bundle"]


@dataclass(frozen=True, slots=True)
class Means:
    """What collection works with; slots, guard, patience and children are shared by all bundles."""

    config: Config
    output: OutputDirectory
    source: EvidenceSource
    slots: asyncio.Semaphore
    guard: asyncio.Lock
    patience: Patience
    captures: tuple[Action, ...]
    children: Children
    judge: Judge


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is written.

    ``volatile_ms`` is the time from the decision until what decays was in its files;
    None in a replay.
    """

    name: BundleName
    path: Path
    size_bytes: int
    results: tuple[ActionResult, ...]
    verdict: Mapping[str, Any]
    volatile_ms: float | None
    collect_ms: float


async def collect_bundle(
    trigger: Trigger, means: Means, *, done: Callable[[BundleName, ActionResult], None]
) -> Bundle:
    """Collect a bundle; ``done`` is called with each action's result as it comes.

    Raises:
        OSError: it could not be written. Nothing of it is left, nor when cancelled.
    """
    before = Look.at(means.source)
    live = means.source.live
    batches_fd = means.output.batches_fd
    wanted = BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)
    bundle = PartialBundle(wanted, batches_fd)
    writer = Writer(bundle, trigger, means.config, live, before)
    chosen = (*actions.select(trigger.actions, means.config.user_actions), *means.captures)
    spent = _Spent(trigger.decided_monotonic_ns)
    try:
        await in_thread(partial(writer.begin, chosen, means.source.events()))
        spent.mark()
        if live:
            context = _context(trigger, means, before, bundle.directory_fd)
            run = Run(
                slots=means.slots,
                guard=means.guard,
                patience=means.patience,
                context=context,
                done=partial(done, bundle.name),
                volatile_done=spent.mark,
            )
            results = tuple(await run_actions(chosen, run))
        else:
            results = _none_run(chosen)
        volatile_ms = spent.ms if live else None
        after, added = Look.at(means.source), means.source.events(before.recorded)
        conclude = partial(writer.conclude, after, added, results, means.judge, volatile_ms)
        verdict = await in_thread(conclude)
        size_bytes = await _pack(bundle.name, batches_fd, before.clocks)
    finally:
        await in_thread(bundle.remove)
    return Bundle(
        name=bundle.name,
        path=means.output.batches / bundle.name.archive,
        size_bytes=size_bytes,
        results=results,
        verdict=verdict,
        volatile_ms=volatile_ms,
        collect_ms=(time.monotonic_ns() - before.clocks.monotonic_ns) / 1e6,
    )


class _Spent:
    """The time from the decision to the last mark, in ms."""

    def __init__(self, decided_ns: int) -> None:
        self._decided_ns = decided_ns
        self.ms = 0.0

    def mark(self) -> None:
        self.ms = (time.monotonic_ns() - self._decided_ns) / 1e6


def _none_run(chosen: tuple[Action, ...]) -> tuple[ActionResult, ...]:
    return tuple(not_run(action, "needs the live host") for action in chosen)


def _context(trigger: Trigger, means: Means, before: Look, directory_fd: int) -> ActionContext:
    limits = means.config.collector
    return ActionContext(
        since_realtime_ns=_began_realtime_ns(trigger) - round(limits.look_back_sec * 1e9),
        timeout_sec=limits.action_timeout_sec,
        max_bytes=limits.max_action_bytes,
        directory_fd=directory_fd,
        file="",
        children=means.children,
        ports=tuple(sorted({c.port for c in before.connections.values() if c.port})),
        waiting=(*distinct(before.in_flight["pid"]), *distinct(_blocked(before)["pid"])),
    )


def _blocked(look: Look) -> OperationArray:
    """The operations of threads that were seen to wait."""
    blocked: OperationArray = look.operations[look.operations["waits_for"] != WaitsFor.UNKNOWN]
    return blocked


def _began_realtime_ns(trigger: Trigger) -> int:
    """When the episode began, on the wall clock."""
    if trigger.finding is None or not trigger.finding.first_ns:
        return trigger.decided_realtime_ns
    lasted_ns = trigger.decided_monotonic_ns - trigger.finding.first_ns
    return trigger.decided_realtime_ns - max(0, lasted_ns)


async def _pack(name: BundleName, batches_fd: int, started: ClockPair) -> int:
    cancelled = threading.Event()
    mtime_sec = started.realtime_ns // 1_000_000_000
    work = partial(pack, name, batches_fd=batches_fd, mtime_sec=mtime_sec, cancelled=cancelled)
    return await in_thread(work, hurry=cancelled.set)
