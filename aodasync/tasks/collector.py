# SPDX-License-Identifier: MIT
"""The collector: triggers in, bundles out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from structlog.typing import FilteringBoundLogger

from aodasync.actions import Action, ActionResult
from aodasync.actions.crash_memory import CrashMemory
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.collection import Bundle, collect_bundle
from aodasync.bundle.collection_context import CollectionContext
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.errors import AodasyncError
from aodasync.evidence.model import EvidenceSource, Sample, Trigger
from aodasync.host.memory_tuning import give_back
from aodasync.host.threads import in_thread
from aodasync.privacy import redaction
from aodasync.process.children import Children
from aodasync.process.launch import with_launcher
from aodasync.process.stop_deadline import StopDeadline
from aodasync.tasks.history_keeper import HistoryKeeper
from aodasync.tasks.hooks import Hooks

__all__ = ["Collector", "CollectorMetrics"]

# Each holds a copy of the recorder; what comes beyond waits in the queue.
_MOST_IN_HAND = 8
_CANCEL_SEC = 5.0
_PREPARED_AFTER_SEC = 0.5
_ACTIONS_SHARE = 2 / 3


@dataclass(slots=True)
class CollectorMetrics:
    """Counts since the start; durations in ms, by action."""

    triggers: int = 0
    bundles_written: int = 0
    bundles_failed: int = 0
    bytes_written: int = 0
    actions_ok: int = 0
    actions_failed: int = 0
    actions_timed_out: int = 0
    actions_abandoned: int = 0
    last_collect_ms: float = 0.0
    last_ms: dict[str, float] = field(default_factory=dict)
    max_ms: dict[str, float] = field(default_factory=dict)


class Collector:
    """Collects bundles side by side; their actions share ``collector.max_concurrent`` slots.

    ``sample`` takes a sample of now, ``memory`` keeps what runs, for the case of a crash;
    both are None where nothing is live. ``captures`` are run for
    every bundle, whatever its trigger names; ``on_done`` is called with each trigger and the
    path of its bundle, None if it failed.
    """

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        source: EvidenceSource,
        log: FilteringBoundLogger,
        *,
        children: Children,
        sample: Callable[[], Sample] | None = None,
        memory: CrashMemory | None = None,
        captures: tuple[Action, ...] = (),
        on_done: Callable[[Trigger, Path | None], None] | None = None,
        history: HistoryKeeper | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._shared = CollectionContext(
            config=config,
            output=output,
            source=source,
            slots=asyncio.Semaphore(config.collector.max_concurrent),
            guard=asyncio.Lock(),
            stop=StopDeadline(),
            captures=captures,
            children=children,
            sample=sample,
            memory=memory,
        )
        self._log = log.bind(component="collector")
        self._queue: asyncio.Queue[Trigger] | None = None
        self._recalled = False
        self._recalling = asyncio.Lock()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._on_done = on_done
        self._history = history
        self._hooks = hooks
        self.metrics = CollectorMetrics()

    def reconfigure(self, config: Config) -> None:
        """Collect by another configuration from the next bundle on."""
        slots = self._shared.slots
        if config.collector.max_concurrent != self._shared.config.collector.max_concurrent:
            slots = asyncio.Semaphore(config.collector.max_concurrent)
        self._shared = replace(self._shared, config=config, slots=slots)

    @property
    def in_hand(self) -> int:
        """Bundles being collected."""
        return len(self._in_hand)

    async def run(self, queue: asyncio.Queue[Trigger]) -> None:
        """Take triggers until cancelled. Running collections go on; :meth:`finish` ends them."""
        self._queue = queue
        await self._recall()
        # Found out now, the launcher of children does not cost the first bundle 100 ms.
        await in_thread(partial(with_launcher, ("/bin/true",)))
        preparing = asyncio.create_task(_prepare_redaction(), name="redaction")
        try:
            while True:
                while len(self._in_hand) >= _MOST_IN_HAND:
                    await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
                self._take(await queue.get(), queue)
        finally:
            preparing.cancel()

    async def _recall(self) -> None:
        """Learn what ran at the last crashes, once; log what is left out for it.

        Before that no trigger is taken, at an early end either: it would run again what crashed.
        """
        async with self._recalling:
            if self._shared.memory is not None and not self._recalled:
                self._recalled = True
                await self._load(self._shared.memory)

    async def _load(self, memory: CrashMemory) -> None:
        try:
            await in_thread(memory.load)
        except (OSError, ValueError, TypeError) as error:
            self._log.warning("action_state_ignored", error=str(error))
        for name in sorted(memory.left_out):
            self._log.warning(
                "action_left_out",
                name=name,
                crashes=memory.crashes[name],
                hint="aodasync doctor --retry",
            )

    async def finish(self, grace_sec: float) -> None:
        """Finish what is queued and running, in ``grace_sec``.

        Two thirds of it are for actions: what has not ended by then is cut short, so that
        a server that hangs does not cost the bundle about that hang. A bundle that is
        not written in time all the same is dropped, all of it.
        """
        self._shared.stop.end_within(grace_sec * _ACTIONS_SHARE)
        with anyio.move_on_after(grace_sec):
            await self._recall()
            while True:
                while self._queue is not None and not self._queue.empty():
                    self._take(self._queue.get_nowait(), self._queue)
                if not self._in_hand:
                    break
                await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
        late = tuple(self._in_hand)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_SEC)

    def _take(self, trigger: Trigger, queue: asyncio.Queue[Trigger]) -> None:
        self.metrics.triggers += 1
        task = asyncio.get_running_loop().create_task(
            self._collect_and_tidy(trigger), name=f"bundle-{trigger.anomaly}"
        )
        self._in_hand.add(task)

        def forget(task: asyncio.Task[None]) -> None:
            self._in_hand.discard(task)
            queue.task_done()

        task.add_done_callback(forget)

    async def _collect_and_tidy(self, trigger: Trigger) -> None:
        await self._collect(trigger)
        await in_thread(give_back)  # only now is nothing of the bundle in use

    async def _collect(self, trigger: Trigger) -> None:
        path = None
        output = self._shared.output
        renewals = output.renewals
        try:
            bundle = await collect_bundle(trigger, self._shared, done=self._action_done)
        except asyncio.CancelledError:
            self._failed(trigger, "the agent stopped before it was collected")
            raise
        except Exception as error:  # noqa: BLE001  # one bundle is lost, the agent goes on
            self._failed(trigger, f"the bundle could not be written: {_sentence(error)}")
        else:
            path = bundle.path
            self._written(trigger, bundle)
            if self._hooks is not None:
                self._hooks.bundle_written(trigger, bundle.path, bundle.verdict)
            if self._history is not None and trigger.finding is not None:
                name = str(bundle.name)
                self._history.bundle(trigger.episode, trigger.anomaly, name, bundle.verdict)
        finally:
            if output.renewals != renewals:
                self._log.warning("output_directory_recreated", path=str(output.batches))
            if self._on_done is not None:
                self._on_done(trigger, path)

    def _action_done(self, name: BundleName, result: ActionResult) -> None:
        metrics = self.metrics
        metrics.last_ms[result.name] = result.duration_ms
        metrics.max_ms[result.name] = max(result.duration_ms, metrics.max_ms.get(result.name, 0.0))
        metrics.actions_timed_out += result.timed_out
        metrics.actions_abandoned += result.abandoned
        if result.ok:
            metrics.actions_ok += 1
        else:
            metrics.actions_failed += 1
            self._log.warning(
                "action_failed", name=result.name, error=result.error, bundle=str(name)
            )

    def _written(self, trigger: Trigger, bundle: Bundle) -> None:
        metrics = self.metrics
        metrics.bundles_written += 1
        metrics.bytes_written += bundle.size_bytes
        metrics.last_collect_ms = bundle.collect_ms
        ok = sum(result.ok for result in bundle.results)
        live = self._shared.source.live
        self._log.info(
            "bundle_written",
            anomaly=trigger.anomaly,
            path=str(bundle.path),
            bytes=bundle.size_bytes,
            actions_ok=ok,
            actions_failed=len(bundle.results) - ok if live else 0,
            **({} if live else {"actions_skipped": len(bundle.results)}),
            volatile_ms=None if bundle.volatile_ms is None else round(bundle.volatile_ms, 1),
            collect_ms=round(bundle.collect_ms, 1),
            verdict=bundle.verdict.cause,
            sentence=bundle.verdict.sentence,
            **_whose(trigger, bundle),
        )

    def _failed(self, trigger: Trigger, error: str) -> None:
        self.metrics.bundles_failed += 1
        self._log.error(
            "bundle_failed",
            anomaly=trigger.anomaly,
            bundle=str(BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)),
            error=error,
        )


async def _prepare_redaction() -> None:
    """Not while the probe is attached, which would take as much longer.

    A bundle that is asked for before that has it done, by the first thread that redacts.
    """
    await asyncio.sleep(_PREPARED_AFTER_SEC)
    await in_thread(redaction.prepare)


def _whose(trigger: Trigger, bundle: Bundle) -> dict[str, Any]:
    """Fields of a log line: the server, the episode, and the process that suffers most."""
    finding, processes = trigger.finding, bundle.verdict.who.processes
    worst = f"{processes[0].name} {processes[0].pid}" if processes else None
    if finding is None:
        return {}
    return {"server": finding.server, "episode": trigger.episode, "who": worst}


def _sentence(error: Exception) -> str:
    if isinstance(error, AodasyncError):
        return error.what
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"{type(error).__name__}: {error}"
