# SPDX-License-Identifier: MIT
"""Keeps the history of episodes on disk: each record as it comes, off the event loop."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from aodasync.evidence import history
from aodasync.evidence.model import Finding
from aodasync.host import safe_files
from aodasync.host.clock import Clock
from aodasync.host.facts import boot
from aodasync.host.threads import in_thread
from aodasync.verdict.judge import Verdict

__all__ = ["HistoryKeeper"]

_QUEUED: Final = 256
_MAX_KEYS: Final = 256


def _run_id(now_ns: int) -> str:
    boot_id = "" if now_ns >= history.CLOCK_IS_SET_NS else str(boot()["id"])[:8]
    return f"{now_ns // 1_000_000_000:x}{boot_id}"


class HistoryKeeper:
    """Records go into a queue; :meth:`run` writes them. ``dropped`` counts what was lost.

    ``began_total`` counts episodes by anomaly and server, ``verdicts_total`` by anomaly and cause.
    """

    def __init__(self, directory: Path, clock: Clock, log: FilteringBoundLogger) -> None:
        self._directory = directory
        self._clock = clock
        self._log = log.bind(component="history")
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_QUEUED)
        self._run_id = _run_id(clock.realtime_ns())
        self._writing = asyncio.Lock()
        self._started = False
        self.dropped = 0
        self.began_total: Counter[tuple[str, str]] = Counter()
        self.verdicts_total: Counter[tuple[str, str]] = Counter()

    def id_of(self, episode: int) -> str:
        """The id of this run's episode of that number."""
        return f"{self._run_id}-{episode}"

    def began(self, episode: int, finding: Finding, suppressed: str) -> None:
        """An episode began; ``suppressed`` says why it gets no bundle."""
        _count(self.began_total, (finding.anomaly, finding.server))
        began_ns = self._began_ns(finding)
        self._put("began", episode, **_facts(finding), began_ns=began_ns, suppressed=suppressed)

    def ended(self, episode: int, finding: Finding) -> None:
        """It ended; ``finding`` is of all of it. ``began_ns`` is by the clock of now."""
        times = {"began_ns": self._began_ns(finding), "ended_ns": self._clock.realtime_ns()}
        self._put("ended", episode, **_facts(finding), **times)

    def _began_ns(self, finding: Finding) -> int:
        """CLOCK_REALTIME at its beginning, as the clock is set now."""
        now_ns = self._clock.monotonic_ns()
        return self._clock.realtime_ns() - max(0, now_ns - (finding.first_ns or now_ns))

    def bundle(self, episode: int, anomaly: str, name: str, verdict: Verdict) -> None:
        """A bundle of it was written, with this verdict."""
        _count(self.verdicts_total, (anomaly, verdict.cause))
        said = {k: getattr(verdict, k) for k in ("cause", "confidence", "sentence", "refuted_by")}
        who = asdict(verdict.who)
        self._put("bundle", episode, bundle=name, verdict=said, who=who, next=list(verdict.next))

    def _put(self, record: str, episode: int, **values: Any) -> None:
        try:
            self._queue.put_nowait({"record": record, "id": self.id_of(episode), **values})
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write records until cancelled."""
        if not self._started:
            self._started = True
            await self._write({"record": "agent", "run": self._run_id}, compact=True)
        while True:
            await self._write(await self._queue.get())

    async def finish(self) -> None:
        """Write what is queued; what :meth:`run` has taken is written as well."""
        while not self._queue.empty():
            await self._write(self._queue.get_nowait())
        async with self._writing:
            pass

    async def _write(self, record: Mapping[str, Any], *, compact: bool = False) -> None:
        """One at a time, in order: a compaction would lose what is appended meanwhile."""
        async with self._writing:
            try:
                await in_thread(partial(self._append, record, compact=compact))
            except (OSError, ValueError) as error:
                self.dropped += 1
                self._log.warning("history_not_written", error=str(error), dropped=self.dropped)

    def _append(self, record: Mapping[str, Any], *, compact: bool) -> None:
        self._directory.mkdir(mode=safe_files.DIRECTORY_MODE, parents=True, exist_ok=True)
        directory_fd = safe_files.open_directory(str(self._directory))
        try:
            if compact:
                history.compact(directory_fd, now_ns=self._clock.realtime_ns())
            if history.append(directory_fd, record) > history.MAX_BYTES:
                history.compact(directory_fd, now_ns=self._clock.realtime_ns())
        finally:
            os.close(directory_fd)


def _facts(finding: Finding) -> dict[str, Any]:
    return {
        "anomaly": finding.anomaly,
        **({"rule": finding.rule} if finding.rule else {}),
        "server": finding.server,
        "commands": list(finding.commands),
        "codes": list(finding.codes),
        "count": finding.count,
        "threshold_ms": finding.threshold_ms,
        "worst_ms": round(finding.max_latency_ms, 3),
        "usual_ms": finding.figures.get("usual_ms"),
        "emergency": finding.emergency,
    }


def _count(totals: Counter[tuple[str, str]], key: tuple[str, str]) -> None:
    """Count under the key, or under ``other`` when there are too many keys."""
    if key not in totals and len(totals) >= _MAX_KEYS:
        key = (key[0], "other")
    totals[key] += 1
