# SPDX-License-Identifier: MIT
"""One bundle, from the trigger to the archive.

Evidence decays, so the order is: requests in flight and a copy of the recorder at
once, and on disk, beside the volatile actions; then the others; then the recorder again, for
what happened meanwhile; then verdict, manifest and archive. Until the last rename
there is only ``NAME.partial``, which goes whatever happens. The verdict on a lost connection
waits for what comes of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aodasync import actions
from aodasync.actions import Action, ActionResult, Cost
from aodasync.actions.crash_notes import CrashNotes
from aodasync.actions.running import NO_ROOM, Run, not_run, run_actions
from aodasync.bundle.beginning import Beginning, Spent
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.collection_context import CollectionContext, action_context
from aodasync.bundle.lost_connection import LostConnection
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import publish
from aodasync.errors import BundleError
from aodasync.evidence.model import ClockPair, Trigger
from aodasync.host.threads import in_thread
from aodasync.verdict.judge import Verdict

__all__ = ["Bundle", "collect_bundle"]


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
    chosen = (*actions.select(trigger.actions, shared.config.user_actions), *shared.captures)
    spent = Spent(trigger.decided_monotonic_ns)
    notes = CrashNotes(shared.memory)
    beginning = Beginning(trigger, shared)
    lost = LostConnection(trigger, source)
    watching = asyncio.create_task(lost.watch())
    try:
        notes.expect(a for a in chosen if live and a.cost == Cost.VOLATILE)
        writer = await beginning.open()
        bundle, before, recorded = writer.bundle, writer.before, writer.recorded
        context = action_context(trigger, shared, before, bundle.directory_fd)
        head_start = asyncio.Event()
        run = Run(
            slots=shared.slots,
            guard=shared.guard,
            stop=shared.stop,
            context=context,
            done=partial(done, bundle.name),
            volatile_done=spent.mark,
            head_start_over=head_start.set,
            notes=notes,
        )
        begun, outlined = beginning.start(writer, chosen, head_start)
        begun.add_done_callback(lambda _: spent.mark())
        if live:
            acting = asyncio.create_task(run_actions(chosen, run, [outlined]))
            await _all_of(begun, outlined, acting)
            results = tuple(acting.result())
            with shared.stop.limit():
                await lost.decided(recorded)
        else:
            head_start.set()
            await _all_of(begun, outlined)
            results = _none_run(chosen)
        volatile_ms = spent.ms if live else None
        after = await in_thread(source.snapshot)
        added, total = source.events(recorded), source.recorded()
        conclude = partial(
            writer.conclude,
            after=after,
            meanwhile=lost.inside(after),
            added=added,
            recorded=total,
            sample=shared.sample,
            volatile_ms=volatile_ms,
        )
        while True:
            try:
                verdict = await in_thread(partial(conclude, results=results))
                size_bytes = await _pack(bundle.name, beginning.batches_fd, before.clocks)
                break
            except OSError as error:
                smaller = await in_thread(partial(writer.drop_largest, results))
                if error.errno not in NO_ROOM or smaller is None:
                    raise
                for result in set(smaller) - set(results):
                    done(bundle.name, result)
                results = smaller
        await in_thread(partial(_check_place, shared.output, beginning.batches_fd))
    finally:
        watching.cancel()
        await notes.close()
        if beginning.bundle is not None:
            await in_thread(beginning.bundle.remove)
    return Bundle(
        name=bundle.name,
        path=shared.output.batches / bundle.name.archive,
        size_bytes=size_bytes,
        results=results,
        verdict=verdict,
        volatile_ms=volatile_ms,
        collect_ms=(time.monotonic_ns() - before.clocks.monotonic_ns) / 1e6,
    )


async def _all_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait for them; when one fails, the others are ended before that is raised."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # seen: one of them is raised
        raise


def _check_place(output: OutputDirectory, batches_fd: int) -> None:
    """Raises BundleError if the bundle is not where its path says."""
    if output.batches_fd != batches_fd or not output.is_current():
        raise BundleError(f"{output.batches} was moved or removed meanwhile")


def _none_run(chosen: tuple[Action, ...]) -> tuple[ActionResult, ...]:
    return tuple(not_run(action, "needs the live host") for action in chosen)


async def _pack(name: BundleName, batches_fd: int, started: ClockPair) -> int:
    cancelled = threading.Event()
    mtime_sec = started.realtime_ns // 1_000_000_000
    work = partial(publish, name, batches_fd=batches_fd, mtime_sec=mtime_sec, cancelled=cancelled)
    return await in_thread(work, hurry=cancelled.set)
