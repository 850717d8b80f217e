# SPDX-License-Identifier: MIT
"""Attaching: what the kernel side is told of the configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from aodasync import probes
from aodasync.clock import SystemClock
from aodasync.live import LiveEvidence
from aodasync.recorder import FlightRecorder
from aodasync.smb.commands import COMMAND_CODES
from aodasync.tasks.watch import Watch
from tests.unit.builders import config, latency_anomaly
from tests.unit.tasks.test_reader import PipeProbe

pytestmark = pytest.mark.anyio


class ToldProbe(PipeProbe):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()
        self.thresholds_ns: Sequence[int] = ()
        self.interim_too: Collection[int] = ()

    def set_emergency_ns(
        self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
    ) -> None:
        self.thresholds_ns, self.interim_too = thresholds_ns, interim_too
        self.told.set()


async def test_the_probe_is_told_what_is_urgent_despite_interim_responses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those in track_commands, of all latency anomalies, and READ, WRITE, FLUSH."""
    probe = ToldProbe()

    async def open_probe(**_: Any) -> ToldProbe:
        return probe

    monkeypatch.setattr(probes, "cifs_loaded", lambda: True)
    monkeypatch.setattr(probes, "open_probe", open_probe)
    named = frozenset({"SMB2_CREATE", "SMB2_CHANGE_NOTIFY"})
    anomalies = (latency_anomaly(), latency_anomaly(name="slow", named_commands=named))
    watch = Watch(
        config(*anomalies),
        evidence=LiveEvidence(FlightRecorder(10)),
        batches=asyncio.Queue(),
        clock=SystemClock(),
        cache_dir=tmp_path,
        log=structlog.get_logger(),
    )
    running = asyncio.create_task(watch.run())
    await asyncio.wait_for(probe.told.wait(), 5)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    too = named | {"SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH"}
    assert set(probe.interim_too) == {COMMAND_CODES[name] for name in too}
    assert probe.thresholds_ns[COMMAND_CODES["SMB2_READ"]] == 1_000_000_000
    probe.close()
