# SPDX-License-Identifier: MIT
"""Commands of the user's, run when an episode begins and when a bundle is written.

A hook is an argument vector; its facts are in the environment, one line each. It runs in a
child with a deadline, without the agent's capabilities, and its output is bounded. Nobody
waits for it, but for a moment when the agent stops: what it does is logged when it fails, and
counted.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from structlog.typing import FilteringBoundLogger

from aodasync.config.model import Config
from aodasync.errors import AodasyncError
from aodasync.evidence.model import Finding, Trigger
from aodasync.host.printable import printable
from aodasync.process.children import Children
from aodasync.verdict.judge import Verdict

__all__ = ["HookMetrics", "Hooks"]

_QUEUED: Final = 64
_AT_ONCE: Final = 2
_TIMEOUT_SEC: Final = 30.0
_MAX_BYTES: Final = 4096


@dataclass(slots=True)
class HookMetrics:
    """Counts since the start: those that ended with 0, that failed, and that were not started."""

    ok: int = 0
    failed: int = 0
    dropped: int = 0


class Hooks:
    """``config.on_bundle`` and ``config.on_episode``; without either there is nothing to do."""

    def __init__(self, config: Config, children: Children, log: FilteringBoundLogger) -> None:
        self.reconfigure(config)
        self._children = children
        self._log = log.bind(component="hooks")
        self._queue: asyncio.Queue[tuple[tuple[str, ...], Mapping[str, str]]] = asyncio.Queue(
            _QUEUED
        )
        self.metrics = HookMetrics()

    def reconfigure(self, config: Config) -> None:
        """Run other commands from now on."""
        self._on_bundle = config.on_bundle
        self._on_episode = config.on_episode

    def episode_began(self, finding: Finding) -> None:
        """Run ``on_episode``."""
        self._order(self._on_episode, _facts(finding.anomaly, finding))

    def bundle_written(self, trigger: Trigger, path: Path, verdict: Verdict) -> None:
        """Run ``on_bundle``."""
        facts = _facts(trigger.anomaly, trigger.finding)
        said = {"CAUSE": printable(verdict.cause), "SENTENCE": printable(verdict.sentence)}
        self._order(self._on_bundle, {**facts, **said, "BUNDLE": str(path)})

    def _order(self, hook: tuple[str, ...], facts: Mapping[str, str]) -> None:
        if not hook:
            return
        try:
            self._queue.put_nowait((hook, facts))
        except asyncio.QueueFull:
            self.metrics.dropped += 1

    async def run(self) -> None:
        """Run hooks until cancelled, two at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(_AT_ONCE):
                group.create_task(self._work(), name=f"hooks-{number}")

    async def finish(self, grace_sec: float) -> None:
        """Wait for those ordered, ``grace_sec`` at most: a bundle may be the agent's last."""
        with anyio.move_on_after(grace_sec):
            await self._queue.join()
        self.metrics.dropped += self._queue.qsize()

    async def _work(self) -> None:
        while True:
            hook, facts = await self._queue.get()
            try:
                await self._run(hook, facts)
            finally:
                self._queue.task_done()

    async def _run(self, hook: tuple[str, ...], facts: Mapping[str, str]) -> None:
        output = io.BytesIO()
        error = "the agent stopped"
        try:
            end = await self._children.run(
                hook, output, timeout_sec=_TIMEOUT_SEC, max_bytes=_MAX_BYTES, environment=facts
            )
            error = end.error
        except (AodasyncError, OSError) as failure:
            error = str(failure)
        finally:
            self._ended(hook[0], error, output.getvalue())

    def _ended(self, program: str, error: str, output: bytes) -> None:
        if not error:
            self.metrics.ok += 1
            return
        self.metrics.failed += 1
        text = output.decode("utf-8", "replace")
        self._log.warning("hook_failed", hook=program, error=error, output=text[-400:])


def _facts(anomaly: str, finding: Finding | None) -> dict[str, str]:
    return {"ANOMALY": anomaly, "SERVER": printable(finding.server) if finding else ""}
