# SPDX-License-Identifier: MIT
"""The beginning of a bundle: what decays is on disk first, in milliseconds.

Python's threads share one interpreter, so what counts is how much of it each step takes and
what it keeps waiting. The recorder is copied by the event loop while a thread reads the kernel
side's tables. Then requests are written while the volatile actions run. What follows decays
no more: first of all a manifest, in case the collection is cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from aodasync.actions import Action
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.collection_context import CollectionContext
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.writing import Writer
from aodasync.events import NO_EVENTS, EventArray
from aodasync.evidence.model import Sample, Snapshot, Trigger
from aodasync.host.threads import in_thread

__all__ = ["Beginning", "Spent"]

_DECAYING: Final = ("in_flight", "operations", "connections", "credits", "shares", "files")
_COUNTED: Final = ("losses", "figures", "facts")


class Spent:
    """The time from the decision to the last mark, in ms."""

    def __init__(self, decided_ns: int) -> None:
        self._decided_ns = decided_ns
        self.ms = 0.0

    def mark(self) -> None:
        """It is now."""
        self.ms = (time.monotonic_ns() - self._decided_ns) / 1e6


class Beginning:
    """One bundle's: :meth:`open`, then :meth:`start`.

    ``bundle`` is its directory, once it is there, in ``batches_fd``.
    """

    def __init__(self, trigger: Trigger, shared: CollectionContext) -> None:
        self._trigger = trigger
        self._shared = shared
        self._rows: EventArray = NO_EVENTS
        self._recorded = 0
        self.bundle: PartialBundle | None = None
        self.batches_fd = -1

    async def open(self) -> Writer:
        """Look at the kernel side's tables, copy the recorder, create the directory.

        Raises:
            OSError: the directory cannot be created.
            AodasyncError: the output directory cannot be used any more.
        """
        shared, trigger = self._shared, self._trigger
        live = shared.source.live
        if live:
            copy = partial(asyncio.get_running_loop().call_soon_threadsafe, self._copy)
        else:
            self._copy()  # a replay goes on meanwhile, as fast as it can
            copy = None
        bundle, before = await in_thread(partial(self._open, copy))
        return Writer(bundle, trigger, shared.config, live, before, self._recorded)

    def _open(self, copy: Callable[[], object] | None) -> tuple[PartialBundle, Snapshot]:
        shared, trigger = self._shared, self._trigger
        source, output = shared.source, shared.output
        if copy is not None:
            copy()
        before = source.snapshot(*_DECAYING)
        if not source.live:
            before = replace(before, in_flight=trigger.in_flight)
        output.renew()
        self.batches_fd = output.batches_fd
        wanted = BundleName.of(trigger.decided_realtime_ns, trigger.anomaly)
        self.bundle = PartialBundle(wanted, self.batches_fd)
        self.bundle.create(before.clocks.realtime_ns if source.live else None)
        return self.bundle, before

    def _copy(self) -> None:
        source = self._shared.source
        self._rows, self._recorded = source.events(), source.recorded()

    def start(
        self, writer: Writer, chosen: tuple[Action, ...], head_start: asyncio.Event
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        """Write what is known now; and a manifest after it, once the ``head_start`` is over.

        The tasks raise OSError: it could not be written, or there is hardly any space left.
        """
        begun = asyncio.create_task(self._write(writer))
        outlining = self._outline(writer, chosen, begun, head_start)
        return begun, asyncio.create_task(outlining)

    async def _write(self, writer: Writer) -> None:
        """Write the requests, and take a sample of this moment."""
        begin = in_thread(partial(self._begin, writer, self._rows))
        self._rows = NO_EVENTS
        sample = await begin
        writer.trigger = replace(writer.trigger, samples=(*writer.trigger.samples, *sample))

    async def _outline(
        self,
        writer: Writer,
        chosen: tuple[Action, ...],
        begun: asyncio.Task[None],
        head_start: asyncio.Event,
    ) -> None:
        await head_start.wait()
        await begun
        source = self._shared.source
        await in_thread(lambda: writer.outline(chosen, source.snapshot(*_COUNTED)))

    def _begin(self, writer: Writer, rows: EventArray) -> tuple[Sample, ...]:
        """The surroundings at this moment; nothing where the host is not live."""
        sample = () if self._shared.sample is None else (self._shared.sample(),)
        writer.begin(rows)
        return sample
