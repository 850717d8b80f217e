# SPDX-License-Identifier: MIT
"""Captures: recorders outside the agent that always run, and whose last window goes into bundles.

They are optional. One whose tool is missing is reported and left out; one that ends is
started again after a pause, and given up when it keeps ending.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from aodasync import probes
from aodasync.actions import Action
from aodasync.captures import CAPTURES, Capture, CaptureSettings
from aodasync.config.model import Config
from aodasync.errors import RequirementError
from aodasync.process.children import Children

__all__ = ["CaptureMetrics", "Captures", "configured"]

_FIRST_PAUSE_SEC: Final = 1.0
_LONGEST_PAUSE_SEC: Final = 60.0
_HEALTHY_AFTER_SEC: Final = 60.0
_MOST_ENDS: Final = 8


@dataclass(slots=True)
class CaptureMetrics:
    """Whether it records, and how often it ended by itself."""

    running: bool = False
    ended: int = 0


class Captures:
    """Keeps captures running, side by side."""

    def __init__(
        self, captures: tuple[Capture, ...], children: Children, log: FilteringBoundLogger
    ) -> None:
        self._captures = captures
        self._children = children
        self._log = log.bind(component="captures")
        self._metrics = {capture.name: CaptureMetrics() for capture in captures}

    @property
    def actions(self) -> tuple[Action, ...]:
        """What each bundle gets of them."""
        return tuple(capture.action for capture in self._captures)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """By name of the capture."""
        return {name: asdict(metrics) for name, metrics in self._metrics.items()}

    async def run(self) -> None:
        """Record until cancelled; returns when there is nothing to record, or no more."""
        async with asyncio.TaskGroup() as group:
            for capture in self._captures:
                group.create_task(self._whole_life(capture), name=f"capture-{capture.name}")

    async def _whole_life(self, capture: Capture) -> None:
        try:
            await capture.begin(self._children)
            await self._keep(capture)
        except (RequirementError, OSError) as error:
            self._log.warning(
                "capture_unavailable",
                capture=capture.name,
                error=str(error),
                hint=f"fix that, or take {capture.name} out of watcher.captures",
            )
        finally:
            with contextlib.suppress(OSError):
                await capture.end(self._children)

    async def _keep(self, capture: Capture) -> None:
        """Start it again whenever it ends, until it does so time after time."""
        loop = asyncio.get_running_loop()
        metrics = self._metrics[capture.name]
        pause_sec, ends = _FIRST_PAUSE_SEC, 0
        while ends < _MOST_ENDS:
            begun_sec = loop.time()
            metrics.running = True
            try:
                error = await capture.run(self._children)
            finally:
                metrics.running = False
            metrics.ended += 1
            if loop.time() - begun_sec > _HEALTHY_AFTER_SEC:
                pause_sec, ends = _FIRST_PAUSE_SEC, 0
            ends += 1
            self._log.warning(
                "capture_ended", capture=capture.name, error=error, pause_sec=pause_sec
            )
            await asyncio.sleep(pause_sec)
            pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)
        self._log.error("capture_given_up", capture=capture.name, ended=metrics.ended)


def configured(config: Config, directory: Path) -> tuple[Capture, ...]:
    """The captures that the configuration names; ``directory`` is for their files."""
    limits = config.collector
    settings = CaptureSettings(
        directory,
        ring_mb=limits.tcpdump_mb,
        packet_bytes=limits.tcpdump_packet_bytes,
        max_bytes=limits.max_action_bytes,
        client=probes.wait_for_cifs,
    )
    return tuple(CAPTURES[name](settings) for name in config.captures)
