# SPDX-License-Identifier: MIT
"""The collector: triggers in, bundles out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from structlog.typing import FilteringBoundLogger

from aodasync.actions import Action, ActionResult
from aodasync.actions.patience import Patience
from aodasync.bundle.collection import Bundle, Means, collect_bundle
from aodasync.bundle.judging import Judge, undecided
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.children import Children
from aodasync.config.model import Config
from aodasync.evidence import EvidenceSource, Trigger
from aodasync.footprint import unmap_clean_pages
from aodasync.programs import leashed
from aodasync.worker import in_thread

__all__ = ["Collector", "CollectorMetrics"]

# Each holds a copy of the recorder; what comes beyond waits in the queue.
_MOST_IN_HAND = 8
_CANCEL_SEC = 5.0
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

    ``judge`` reaches the verdicts; ``captures`` are run for every bundle, whatever its
    trigger names; ``on_done`` is called with each trigger and the path
    of its bundle, None if it failed.
    """

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        source: EvidenceSource,
        log: FilteringBoundLogger,
        *,
        judge: Judge = undecided,
        captures: tuple[Action, ...] = (),
        on_done: Callable[[Trigger, Path | None], None] | None = None,
    ) -> None:
        self._means = Means(
            config=config,
            output=output,
            source=source,
            slots=asyncio.Semaphore(config.collector.max_concurrent),
            guard=asyncio.Lock(),
            patience=Patience(),
            captures=captures,
            children=Children(),
            judge=judge,
        )
        self._log = log.bind(component="collector")
        self._queue: asyncio.Queue[Trigger] | None = None
        self._in_hand: set[asyncio.Task[None]] = set()
        self._on_done = on_done
        self.metrics = CollectorMetrics()

    @property
    def in_hand(self) -> int:
        """Bundles being collected."""
        return len(self._in_hand)

    async def run(self, queue: asyncio.Queue[Trigger]) -> None:
        """Take triggers until cancelled. Bundles in hand go on: they are :meth:`finish`'s."""
        self._queue = queue
        # Found out now, the leash of children does not cost the first bundle 100 ms.
        await in_thread(partial(leashed, ("/bin/true",)))
        while True:
            while len(self._in_hand) >= _MOST_IN_HAND:
                await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
            self._take(await queue.get(), queue)

    async def finish(self, grace_sec: float) -> None:
        """Collect what is queued and in hand, in ``grace_sec``.

        Two thirds of it are for actions: what has not ended by then is cut short, so that
        a server that hangs does not cost the bundle which tells of it. A bundle that is
        not written in time all the same is dropped, all of it.
        """
        self._means.patience.end_within(grace_sec * _ACTIONS_SHARE)
        with anyio.move_on_after(grace_sec):
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
            self._collect(trigger), name=f"bundle-{trigger.anomaly}"
        )
        self._in_hand.add(task)

        def forget(task: asyncio.Task[None]) -> None:
            self._in_hand.discard(task)
            queue.task_done()

        task.add_done_callback(forget)

    async def _collect(self, trigger: Trigger) -> None:
        path = None
        try:
            bundle = await collect_bundle(trigger, self._means, done=self._action_done)
        except asyncio.CancelledError:
            self._failed(trigger, "the agent stopped before it was collected")
            raise
        except Exception as error:  # noqa: BLE001  # one bundle is lost, the agent goes on
            self._failed(trigger, f"the bundle could not be written: {_sentence(error)}")
        else:
            path = bundle.path
            self._written(trigger, bundle)
        finally:
            if self._on_done is not None:
                self._on_done(trigger, path)
        if len(self._in_hand) == 1:
            await in_thread(unmap_clean_pages)

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
        live = self._means.source.live
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
            verdict=bundle.verdict.get("cause"),
        )

    def _failed(self, trigger: Trigger, error: str) -> None:
        self.metrics.bundles_failed += 1
        self._log.error(
            "bundle_failed",
            anomaly=trigger.anomaly,
            bundle=str(BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)),
            error=error,
        )


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"{type(error).__name__}: {error}"
