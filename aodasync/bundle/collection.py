# SPDX-License-Identifier: MIT
"""One bundle, from the trigger to the archive.

Evidence decays, so the order is: requests in flight and a copy of the recorder at
once, and on disk; then the actions, volatile ones first; then the recorder again, for
what happened meanwhile; then verdict, manifest and archive. Until the last rename
there is only ``NAME.partial``, which goes whatever happens. The verdict on a lost connection
waits until the server has taken or refused the next login, or for twenty seconds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from aodasync import actions
from aodasync.actions import Action, ActionContext, ActionResult
from aodasync.actions.crash_memory import CrashMemory
from aodasync.actions.running import NO_ROOM, Run, not_run, run_actions
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.writing import Writer
from aodasync.config.model import Config
from aodasync.errors import BundleError
from aodasync.events import EventArray, OperationArray
from aodasync.evidence.arrays import distinct
from aodasync.evidence.model import ClockPair, EvidenceSource, Sample, Snapshot, Trigger
from aodasync.host.memory_tuning import give_back
from aodasync.host.network_namespace import own_netns
from aodasync.host.threads import in_thread
from aodasync.process.children import Children
from aodasync.process.stop_deadline import StopDeadline
from aodasync.verdict.judge import Verdict
from aodasync.verdict.reconnects import is_undecided

__all__ = ["Bundle", "CollectionContext", "collect_bundle"]

_LASTING_NS: Final = 250_000_000
_DECIDED_WITHIN_NS: Final = 20_000_000_000
_DECIDED_EVERY_SEC: Final = 0.25
_ROWS_BEFORE: Final = 4096  # a reconnect may be over when its bundle begins


@dataclass(frozen=True, slots=True)
class CollectionContext:
    """What all collections share: limits, sources, slots, and the deadline of a stop."""

    config: Config
    output: OutputDirectory
    source: EvidenceSource
    slots: asyncio.Semaphore
    guard: asyncio.Lock
    stop: StopDeadline
    captures: tuple[Action, ...]
    children: Children
    sample: Callable[[], Sample] | None
    memory: CrashMemory | None


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
    verdict: Verdict
    volatile_ms: float | None
    collect_ms: float


async def collect_bundle(
    trigger: Trigger, shared: CollectionContext, *, done: Callable[[BundleName, ActionResult], None]
) -> Bundle:
    """Collect a bundle; ``done`` is called with each action's result as it comes.

    Raises:
        OSError: it could not be written. Nothing of it is left, nor when cancelled.
        AodasyncError: the output directory cannot be used any more.
    """
    source = shared.source
    live = source.live
    rows, recorded = source.events(), source.recorded()
    before = await in_thread(partial(_tables, trigger, shared))
    batches_fd = shared.output.batches_fd
    wanted = BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)
    bundle = PartialBundle(wanted, batches_fd)
    writer = Writer(bundle, trigger, shared.config, live, before, recorded)
    chosen = (*actions.select(trigger.actions, shared.config.user_actions), *shared.captures)
    spent = _Spent(trigger.decided_monotonic_ns)
    try:
        await in_thread(partial(writer.create, rows.nbytes))
        run = Run(
            slots=shared.slots,
            guard=shared.guard,
            stop=shared.stop,
            context=_context(trigger, shared, before, bundle.directory_fd),
            done=partial(done, bundle.name),
            volatile_done=spent.mark,
            memory=shared.memory,
        )
        begun = asyncio.create_task(_begun(writer, shared, chosen, rows, spent.mark))
        del rows
        if live:
            acting = asyncio.create_task(run_actions(chosen, run, [begun]))
            results = tuple(await _both(begun, acting))
            await _reconnected(trigger, shared, recorded)
        else:
            await begun
            results = _none_run(chosen)
        volatile_ms = spent.ms if live else None
        after = await in_thread(source.snapshot)
        added, total = source.events(recorded), source.recorded()
        conclude = partial(
            writer.conclude,
            after=after,
            added=added,
            recorded=total,
            sample=shared.sample,
            volatile_ms=volatile_ms,
        )
        while True:
            try:
                verdict = await in_thread(partial(conclude, results=results))
                size_bytes = await _pack(bundle.name, batches_fd, before.clocks)
                break
            except OSError as error:
                smaller = await in_thread(partial(writer.drop_largest, results))
                if error.errno not in NO_ROOM or smaller is None:
                    raise
                for result in set(smaller) - set(results):
                    done(bundle.name, result)
                results = smaller
        await in_thread(partial(_check_place, shared.output, batches_fd))
    finally:
        await in_thread(bundle.remove)
    await in_thread(give_back)
    return Bundle(
        name=bundle.name,
        path=shared.output.batches / bundle.name.archive,
        size_bytes=size_bytes,
        results=results,
        verdict=verdict,
        volatile_ms=volatile_ms,
        collect_ms=(time.monotonic_ns() - before.clocks.monotonic_ns) / 1e6,
    )


def _tables(trigger: Trigger, shared: CollectionContext) -> Snapshot:
    """The tables of now, and a place for them; in a replay, with what was in flight then."""
    now = shared.source.snapshot()
    shared.output.renew()
    return now if shared.source.live else replace(now, in_flight=trigger.in_flight)


async def _begun(
    writer: Writer,
    shared: CollectionContext,
    chosen: tuple[Action, ...],
    rows: EventArray,
    mark: Callable[[], None],
) -> None:
    """Write what is known now, and take a sample of the surroundings at this moment."""
    sampling = asyncio.create_task(_sampled(shared))
    try:
        await in_thread(partial(writer.begin, chosen, rows))
    finally:
        sample = await sampling
    writer.trigger = replace(writer.trigger, samples=(*writer.trigger.samples, *sample))
    mark()


async def _both(
    begun: asyncio.Task[None], acting: asyncio.Task[list[ActionResult]]
) -> list[ActionResult]:
    """What the actions found; when either fails, the other is ended first."""
    try:
        await begun
        return await acting
    except BaseException:
        for task in (begun, acting):
            task.cancel()
        await asyncio.wait({begun, acting})
        raise


async def _reconnected(trigger: Trigger, shared: CollectionContext, recorded: int) -> None:
    """Wait for what comes of a lost connection; ``recorded`` rows were there at the beginning."""
    finding, source = trigger.finding, shared.source
    if finding is None or not source.live:
        return
    end_ns = trigger.decided_monotonic_ns + _DECIDED_WITHIN_NS
    earlier = max(0, recorded - _ROWS_BEFORE)
    with shared.stop.limit():
        while time.monotonic_ns() < end_ns:
            rows = source.events(earlier)
            if not await in_thread(partial(is_undecided, finding, rows)):
                break
            await asyncio.sleep(_DECIDED_EVERY_SEC)


def _check_place(output: OutputDirectory, batches_fd: int) -> None:
    """Raises BundleError if the bundle is not where its path says."""
    if output.batches_fd != batches_fd or not output.is_current():
        raise BundleError(f"{output.batches} was moved or removed meanwhile")


async def _sampled(shared: CollectionContext) -> tuple[Sample, ...]:
    """The surroundings at this moment; nothing where the host is not live."""
    return () if shared.sample is None else (await in_thread(shared.sample),)


class _Spent:
    """The time from the decision to the last mark, in ms."""

    def __init__(self, decided_ns: int) -> None:
        self._decided_ns = decided_ns
        self.ms = 0.0

    def mark(self) -> None:
        self.ms = (time.monotonic_ns() - self._decided_ns) / 1e6


def _none_run(chosen: tuple[Action, ...]) -> tuple[ActionResult, ...]:
    return tuple(not_run(action, "needs the live host") for action in chosen)


def _context(
    trigger: Trigger, shared: CollectionContext, before: Snapshot, directory_fd: int
) -> ActionContext:
    limits = shared.config.collector
    return ActionContext(
        since_realtime_ns=_began_realtime_ns(trigger) - round(limits.look_back_sec * 1e9),
        timeout_sec=limits.action_timeout_sec,
        max_bytes=limits.max_action_bytes,
        directory_fd=directory_fd,
        file="",
        children=shared.children,
        ports=tuple(sorted({c.port for c in before.connections.values() if c.port})),
        netns=tuple(sorted({c.netns for c in before.connections.values()} - {0, own_netns()})),
        servers=_servers(trigger, before),
        waiting=(*distinct(before.in_flight["pid"]), *distinct(_lasting(before)["pid"])),
    )


def _servers(trigger: Trigger, before: Snapshot) -> frozenset[str]:
    """What the anomaly's server is called; nothing for a snapshot."""
    if trigger.finding is None:
        return frozenset()
    names = {trigger.finding.server}
    for number in trigger.finding.connections:
        if (connection := before.connections.get(number)) is not None:
            names |= {connection.server, connection.address}
    return frozenset(name.casefold() for name in names)


def _lasting(at: Snapshot) -> OperationArray:
    """The operations that have lasted for a quarter of a second."""
    ends_ns = at.operations["started_ns"] + np.uint64(_LASTING_NS)
    lasting: OperationArray = at.operations[ends_ns <= at.clocks.monotonic_ns]
    return lasting


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
