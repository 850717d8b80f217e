# SPDX-License-Identifier: MIT
"""A reload has a beginning and an end for systemd, whatever becomes of it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from aodasync.config import Config
from aodasync.errors import ConfigError
from aodasync.tasks.reloader import Reloader
from tests.builders import config, latency_anomaly

pytestmark = pytest.mark.anyio


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


@pytest.mark.parametrize("refused", [False, True])
async def test_systemd_hears_of_both_ends(systemd: socket.socket, *, refused: bool) -> None:
    """RELOADING=1 with the moment (sd_notify(3) asks for it), then READY=1, even of a bad one."""
    applied: list[Config] = []
    new = config(latency_anomaly(), watch_interval_sec=5.0)

    def read() -> Config:
        if refused:
            raise ConfigError("config.yaml", [])
        return new

    reloader = Reloader(config(latency_anomaly()), read, applied.append, structlog.get_logger())
    running = asyncio.create_task(reloader.run())
    before_usec = time.monotonic_ns() // 1000
    reloader.order()
    told = await asyncio.to_thread(systemd.recv, 200)
    after = await asyncio.to_thread(systemd.recv, 200)
    running.cancel()
    first, second = told.decode().splitlines()
    assert first == "RELOADING=1"
    name, _, usec = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_usec <= int(usec) <= time.monotonic_ns() // 1000
    assert after == b"READY=1"
    assert [each.watch_interval_sec for each in applied] == ([] if refused else [5.0])
