# SPDX-License-Identifier: MIT
"""systemd's watchdog is fed by work, not by being alive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from aodasync.host.systemd import watchdog_sec
from aodasync.tasks.watchdog import Watchdog, Work

pytestmark = pytest.mark.anyio

WELL = Work(looks=1, taken=1, queued=0, given_up=())


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (WELL, replace(WELL, looks=2), ""),
        (replace(WELL, looks=None), replace(WELL, looks=None), ""),
        (WELL, WELL, "the ring is not read"),
        (replace(WELL, queued=1), Work(2, 1, 3, ()), "the detector takes no batch"),
        (replace(WELL, queued=3), Work(2, 2, 3, ()), ""),
        (WELL, Work(2, 2, 0, ("drift",)), "detectors given up: drift"),
    ],
)
async def test_what_stands_still_is_named(before: Work, now: Work, reason: str) -> None:
    """The ring, the detector, and detectors that were given up; waiting for the client is well."""
    found = iter((before, now))
    watchdog = Watchdog(lambda: next(found), structlog.get_logger())
    assert watchdog.reason() == ""
    assert watchdog.reason() == reason


async def test_it_is_fed_only_while_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WATCHDOG=1 comes twice in WatchdogSec, and stops when the ring is read no more."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    works = [replace(WELL, looks=n) for n in (1, 2, 3)] + [replace(WELL, looks=3)] * 100
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)  # noqa: FBT003
        running = asyncio.create_task(Watchdog(lambda: works.pop(0), structlog.get_logger()).run())
        await asyncio.sleep(0.5)
        running.cancel()
        fed = 0
        with contextlib.suppress(BlockingIOError):
            while systemd.recv(100) == b"WATCHDOG=1":
                fed += 1
    assert fed == 3


@pytest.mark.parametrize(
    ("pid", "usec", "limit"), [("", "", None), ("1", "5", None), ("", "3000000", 3.0)]
)
async def test_a_watchdog_of_another_process_is_not_ours(
    pid: str, usec: str, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fed without one."""
    monkeypatch.setenv("WATCHDOG_PID", pid)
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert watchdog_sec() == limit
