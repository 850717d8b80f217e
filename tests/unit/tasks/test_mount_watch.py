# SPDX-License-Identifier: MIT
"""Mounts: their state is logged when it changes, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.events import EVENT, Kind
from aodasync.evidence.model import Connection
from aodasync.tasks.mount_watch import MountWatch
from tests.builders import SECOND, request, trouble

pytestmark = pytest.mark.anyio

_MOUNTINFO = (
    "30 1 0:50 / /mnt/My\\040Share rw - cifs //nas/My\\040Share rw\n"
    "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
)


class _Clock:
    now_ns = 10 * SECOND

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return self.now_ns


async def test_a_change_is_logged_once_each_way(tmp_path: Path) -> None:
    """mount_unusable with the reason, mount_usable with how long it was not."""
    clock = _Clock()
    (tmp_path / "mountinfo").write_text(_MOUNTINFO)
    with capture_logs() as logs:
        watch = MountWatch(
            lambda _since: np.zeros(0, EVENT),
            in_flight=lambda: np.zeros(0, EVENT),
            connections=lambda: {1: Connection(1, "nas", "192.0.2.1", 445)},
            clock=clock,
            log=structlog.get_logger(),
            interval_sec=0.001,
            mountinfo=str(tmp_path / "mountinfo"),
        )
        running = asyncio.create_task(watch.run())
        async with asyncio.timeout(10):
            while not watch.states:  # noqa: ASYNC110  # as status reads it
                await asyncio.sleep(0.001)
        running.cancel()
        watch.observe(trouble(Kind.RECONNECT, at_ns=11 * SECOND, connection_id=1))
        for clock.now_ns in (16 * SECOND, 17 * SECOND):
            watch.look()
        assert "NOT USABLE for 6 s: reconnecting" in str(watch.as_status(clock.now_ns))
        watch.observe(request(released_ns=18 * SECOND))
        for clock.now_ns in (18 * SECOND, 19 * SECOND):
            watch.look()
    told = [(e["event"], e["mount_point"]) for e in logs]
    assert told == [("mount_unusable", "/mnt/My Share"), ("mount_usable", "/mnt/My Share")]
    assert logs[0]["why"] == "reconnecting"
    assert logs[1]["unusable_ms"] == 7000


async def test_a_defect_is_counted_and_goes_no_further() -> None:
    """Rows that cannot be understood cost the state of mounts alone."""
    watch = MountWatch(
        lambda _since: np.zeros(0, EVENT),
        in_flight=lambda: np.zeros(0, EVENT),
        connections=dict,
        clock=_Clock(),
        log=structlog.get_logger(),
    )
    with capture_logs() as logs:
        watch.observe(np.zeros(3, [("odd", "u1")]))
    assert watch.failures == 1
    assert logs[0]["event"] == "detector_restarted"
