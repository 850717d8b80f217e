# SPDX-License-Identifier: MIT
"""The reader's life: wait for the client, attach, read."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path

import anyio
from structlog.typing import FilteringBoundLogger

import aodasync.probes.opening  # noqa: F401  # with what it imports: not in the loop
from aodasync import probes
from aodasync.config.model import Config
from aodasync.detection.detector import Urgency
from aodasync.errors import BpfError, RequirementError, first_of_ours
from aodasync.host.clock import Clock
from aodasync.host.memory_tuning import settle
from aodasync.host.systemd import notify
from aodasync.probes.interface import Probe
from aodasync.probes.live_source import LiveEvidence
from aodasync.smb.commands import COMMANDS
from aodasync.tasks.batch_queue import BatchQueue
from aodasync.tasks.heartbeat import Beat, steady
from aodasync.tasks.reader import Reader, ReaderMetrics

__all__ = ["Attach"]

_RETRY_SEC = 5.0


class Attach:
    """Attaches a probe once, into ``evidence``, and keeps a reader on it.

    ``urgency`` returns what the kernel side shall report at once; ``imports_ms`` is what
    the process did before, and is logged with the other steps.
    """

    def __init__(
        self,
        config: Config,
        *,
        evidence: LiveEvidence,
        batches: BatchQueue,
        clock: Clock,
        cache_dir: Path,
        urgency: Callable[[], Urgency],
        log: FilteringBoundLogger,
        imports_ms: float = 0.0,
        beat: Beat = steady,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._stir = stir
        self._imports_ms = imports_ms
        self._config = config
        self._evidence = evidence
        self._batches = batches
        self._clock = clock
        self._cache_dir = cache_dir
        self._urgency = urgency
        self._log = log
        self._urgency_due = asyncio.Event()
        self.reader: Reader | None = None

    @property
    def metrics(self) -> ReaderMetrics:
        """The reader's, over all of its lives."""
        return self.reader.metrics if self.reader else ReaderMetrics()

    def drain(self) -> int:
        """Take in what the ring holds now; how many events that were."""
        return self.reader.drain() if self.reader is not None else 0

    async def run(self) -> None:
        """Attach until cancelled.

        Raises:
            ProbeError: the client cannot be probed.
        """
        while (probe := self._evidence.probe) is None:
            await self._wait()
            try:
                self._evidence.probe = await self._attach()
            except RequirementError:
                if probes.cifs_loaded():
                    raise
        metrics = self.metrics
        self.reader = Reader(probe, self._batches, self._clock, beat=self._beat, stir=self._stir)
        self.reader.metrics = metrics
        self._urgency_due.set()
        urgency = asyncio.create_task(self._set_urgency(probe), name="urgency")
        try:
            await self.reader.run()
        finally:
            urgency.cancel()

    def urgency_changed(self) -> None:
        """Have the kernel side report what is urgent now."""
        self._urgency_due.set()

    async def _set_urgency(self, probe: Probe) -> None:
        """Write what is urgent into the kernel's table whenever it changes, until that worked."""
        while True:
            await self._urgency_due.wait()
            urgency = self._urgency()
            urgent_ns = [urgency.latency_ns.get(code, 0) for code in range(len(COMMANDS))]
            try:
                probe.set_emergency_ns(urgent_ns, interim_too=urgency.announced_too)
                self._urgency_due.clear()
            except BpfError as error:
                self._log.warning("urgency_not_set", error=str(error), retry_sec=_RETRY_SEC)
                await asyncio.sleep(_RETRY_SEC)

    async def _wait(self) -> None:
        if probes.cifs_loaded():
            return
        what = {"for": "the cifs module (the first SMB mount)"}
        if hint := probes.install_hint():
            self._log.warning("agent_waiting", **what, hint=hint)
        else:
            self._log.info("agent_waiting", **what)
        notify("READY=1\nSTATUS=waiting for the cifs module")
        try:
            async with anyio.create_task_group() as group:
                # Of what else is missing, the first mount is not the time to hear.
                group.start_soon(probes.require_host)
                await probes.wait_for_cifs()
                group.cancel_scope.cancel()
        except ExceptionGroup as group_error:
            raise first_of_ours(group_error) from None

    async def _attach(self) -> Probe:
        begun_ns = self._clock.monotonic_ns()
        wanted_bytes = max(self._config.recorder.ring_bytes, resource.getpagesize())
        probe = await probes.open_probe(
            ring_bytes=1 << (wanted_bytes - 1).bit_length(),
            cache_dir=self._cache_dir,
            file_names=self._config.recorder.file_names,
            recorded=self._config.recorder.max_events,
        )
        plan = probe.plan
        settle()
        attach_ms = (self._clock.monotonic_ns() - begun_ns) / 1e6
        steps_ms = {"imports": self._imports_ms, **plan.steps_ms}
        in_turn_ms = sum(ms for name, ms in plan.steps_ms.items() if name != "ahead")
        steps_ms["rest"] = attach_ms - in_turn_ms  # threads, and the child if it is still reading
        self._log.info(
            "agent_ready",
            probe=plan.name,
            kernel=plan.kernel,
            byte_code=plan.byte_code,
            start_ms=round(self._imports_ms + attach_ms, 1),
            steps_ms={name: round(ms, 1) for name, ms in steps_ms.items()},
            attached=[f"{a.role}:{a.method}:{a.target}" for a in plan.attachments if not a.error],
            not_attached={a.target: a.error for a in plan.attachments if a.error},
            notes=list(plan.notes),
        )
        refused = {each.target: each.why for each in plan.tried if each.role == "method"}
        if refused:
            self._log.warning("probe_fallback", probe=plan.name, refused=refused)
        notify(f"READY=1\nSTATUS=watching SMB requests ({plan.name})")
        return probe
