# SPDX-License-Identifier: MIT
"""Attaching: what the kernel side is told of the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from aodasync import probes
from aodasync.detection.engine import Engine
from aodasync.errors import BpfError, RequirementError
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.clock import SystemClock
from aodasync.probes.interface import Candidate, ProbePlan
from aodasync.probes.live_source import LiveEvidence
from aodasync.smb.commands import COMMAND_CODES
from aodasync.tasks import attach
from aodasync.tasks.attach import Attach
from aodasync.tasks.batch_queue import BatchQueue
from tests.builders import config, latency_anomaly
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
    watch = Attach(
        config(*anomalies),
        evidence=LiveEvidence(FlightRecorder(10)),
        batches=BatchQueue(FlightRecorder(10)),
        clock=SystemClock(),
        cache_dir=tmp_path,
        urgency=Engine(config(*anomalies), str).urgency,
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


async def test_a_table_that_cannot_be_written_is_written_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """bpf(2) fails once: the reader reads on, and what is urgent is set by the next try."""

    class Forgetful(ToldProbe):
        failures = 1

        def set_emergency_ns(
            self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
        ) -> None:
            if self.failures:
                self.failures -= 1
                raise BpfError("cannot write a map", 12)
            super().set_emergency_ns(thresholds_ns, interim_too)

    probe = Forgetful()

    async def open_probe(**_: Any) -> ToldProbe:
        return probe

    monkeypatch.setattr(probes, "cifs_loaded", lambda: True)
    monkeypatch.setattr(probes, "open_probe", open_probe)
    monkeypatch.setattr(attach, "_RETRY_SEC", 0.05)
    watch = Attach(
        config(latency_anomaly()),
        evidence=LiveEvidence(FlightRecorder(10)),
        batches=BatchQueue(FlightRecorder(10)),
        clock=SystemClock(),
        cache_dir=tmp_path,
        urgency=Engine(config(latency_anomaly()), str).urgency,
        log=structlog.get_logger(),
    )
    running = asyncio.create_task(watch.run())
    await asyncio.wait_for(probe.told.wait(), 5)
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    probe.close()


class Forever:
    """Waits until it is cancelled, and says so."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


async def test_systemd_hears_what_it_waits_for_and_when_it_watches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """READY=1 while there is no client yet, and again with how it watches once it does."""
    probe = ToldProbe()
    mounted = asyncio.Event()

    async def open_probe(**_: Any) -> ToldProbe:
        return probe

    monkeypatch.setattr(probes, "cifs_loaded", mounted.is_set)
    monkeypatch.setattr(probes, "wait_for_cifs", mounted.wait)
    monkeypatch.setattr(probes, "require_host", Forever())
    monkeypatch.setattr(probes, "open_probe", open_probe)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        watch = Attach(
            config(latency_anomaly()),
            evidence=LiveEvidence(FlightRecorder(10)),
            batches=BatchQueue(FlightRecorder(10)),
            clock=SystemClock(),
            cache_dir=tmp_path,
            urgency=Engine(config(latency_anomaly()), str).urgency,
            log=structlog.get_logger(),
        )
        running = asyncio.create_task(watch.run())
        waiting = await asyncio.to_thread(systemd.recv, 200)
        mounted.set()
        watching = await asyncio.to_thread(systemd.recv, 200)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert waiting == b"READY=1\nSTATUS=waiting for the cifs module"
    assert watching == b"READY=1\nSTATUS=watching SMB requests (pipe)"
    probe.close()


async def test_a_way_to_watch_that_was_refused_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It watches by another one, which may see less: the first is named, and why."""
    probe = ToldProbe()
    tried = (Candidate("method", "fentry", chosen=False, why="permission denied"),)
    plan = ProbePlan("kprobe", "test", (), (), {}, tried=tried)
    monkeypatch.setattr(ToldProbe, "plan", plan)

    async def open_probe(**_: Any) -> ToldProbe:
        return probe

    monkeypatch.setattr(probes, "cifs_loaded", lambda: True)
    monkeypatch.setattr(probes, "open_probe", open_probe)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(_waiting(tmp_path).run())
        await asyncio.wait_for(probe.told.wait(), 5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    (fallback,) = (each for each in logs if each["event"] == "probe_fallback")
    assert (fallback["log_level"], fallback["probe"]) == ("warning", "kprobe")
    assert fallback["refused"] == {"fentry": "permission denied"}
    probe.close()


def _waiting(tmp_path: Path) -> Attach:
    return Attach(
        config(),
        evidence=LiveEvidence(FlightRecorder(10)),
        batches=BatchQueue(FlightRecorder(10)),
        clock=SystemClock(),
        cache_dir=tmp_path,
        urgency=Engine(config(), str).urgency,
        log=structlog.get_logger(),
    )


async def test_what_the_host_lacks_ends_a_wait_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not only at the first mount, which may come days later."""

    async def require_host() -> None:
        raise RequirementError("no Python with a usable bcc")

    wait = Forever()
    monkeypatch.setattr(probes, "cifs_loaded", lambda: False)
    monkeypatch.setattr(probes, "require_host", require_host)
    monkeypatch.setattr(probes, "wait_for_cifs", wait)
    with pytest.raises(RequirementError, match="bcc"):
        await asyncio.wait_for(_waiting(tmp_path).run(), 5)
    assert wait.cancelled


async def test_a_mount_does_not_wait_for_what_the_host_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The probe is attached as soon as the client is there, whatever is still being tried."""
    probe, trying = ToldProbe(), Forever()

    async def open_probe(**_: Any) -> ToldProbe:
        return probe

    monkeypatch.setattr(probes, "cifs_loaded", lambda: False)
    monkeypatch.setattr(probes, "require_host", trying)
    monkeypatch.setattr(probes, "wait_for_cifs", trying.begun.wait)
    monkeypatch.setattr(probes, "open_probe", open_probe)
    running = asyncio.create_task(_waiting(tmp_path).run())
    await asyncio.wait_for(probe.told.wait(), 5)
    assert trying.cancelled
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    probe.close()
