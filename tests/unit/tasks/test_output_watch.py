# SPDX-License-Identifier: MIT
"""A mount over the output directory is logged, once each way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.events import EVENT
from aodasync.host.clock import SystemClock
from aodasync.host.mountinfo import Mount
from aodasync.tasks.mount_watch import MountWatch
from aodasync.tasks.output_watch import OutputWatch

_ROOT = Mount("8:1", "/", "ext4", "/dev/sda1")
_LOG = Mount("8:2", "/var/log", "xfs", "/dev/sda2")
_SHARE = Mount("0:50", "/var/log/aod", "cifs", "//nas/data")
_BESIDE = Mount("0:51", "/mnt", "cifs", "//nas/more")


def test_each_mount_over_it_is_logged_and_what_bundles_do() -> None:
    """They go on beneath a network's file system, and onto a local one; others are none of ours."""
    watch = OutputWatch(Path("/var/log/aod"), structlog.get_logger())
    with capture_logs() as logs:
        for mounts in (
            (_ROOT,),
            (_ROOT, _BESIDE),
            (_ROOT, _LOG),
            (_ROOT, _LOG, _SHARE),
            (_ROOT, _LOG, _SHARE, _BESIDE),
            (_ROOT,),
        ):
            watch.look(mounts)
    told = [(e["event"], e.get("mount_point"), e.get("bundles")) for e in logs]
    assert told == [
        ("output_directory_covered", "/var/log", "on it"),
        ("output_directory_covered", "/var/log/aod", "beneath"),
        ("output_directory_uncovered", None, None),
    ]
    assert {e["path"] for e in logs} == {"/var/log/aod"}
    assert [e["log_level"] for e in logs] == ["warning", "warning", "info"]


@pytest.mark.anyio
async def test_it_is_given_the_mounts_that_the_kernel_lists(tmp_path: Path) -> None:
    """By the task that reads them again whenever they change."""
    (tmp_path / "mountinfo").write_text("31 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    given = asyncio.Event()
    seen: list[Mount] = []

    def listed(mounts: object) -> None:
        assert isinstance(mounts, tuple)
        seen.extend(mounts)
        given.set()

    watch = MountWatch(
        lambda _since: np.zeros(0, EVENT),
        in_flight=lambda: np.zeros(0, EVENT),
        connections=dict,
        clock=SystemClock(),
        log=structlog.get_logger(),
        mountinfo=str(tmp_path / "mountinfo"),
        listed=listed,
    )
    running = asyncio.create_task(watch.run())
    await asyncio.wait_for(given.wait(), 10)
    running.cancel()
    assert seen == [_ROOT]
