# SPDX-License-Identifier: MIT
"""Anybody can write to the system's log; collecting it holds up nobody."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from aodasync.actions import ActionContext
from aodasync.actions.syslogs import collect_tails

pytestmark = pytest.mark.anyio

_ORDINARY = (
    b"Nov 22 12:00:00 nas kernel: CIFS: VFS: \\\\nas17 Cancelling wait for mid 5 cmd: 5\n"
    b"Nov 22 12:00:01 nas sshd[9]: Accepted publickey for jdoe from 10.1.2.3 port 22 ssh2\n"
)
_WORST = (
    b"Nov 22 12:00:00 nas u1: session key" + b" " * 8000 + b"\n",
    b"Nov 22 12:00:00 nas u1: " + b"pass=1;" * 1000 + b"\n",
    b"Nov 22 12:00:00 nas u1: " + b"key=1,x " * 1000 + b"\n",
)


def _written(context: ActionContext) -> bytes:
    return Path(f"/proc/self/fd/{context.directory_fd}/{context.file}").read_bytes()


async def _median_lag_sec(done: asyncio.Task[object]) -> float:
    """By how much a timer of 1 ms is late while a task runs: the median, of a busy machine."""
    late = []
    while not done.done():
        begun_sec = time.monotonic()
        await asyncio.sleep(0.001)
        late.append(time.monotonic() - begun_sec - 0.001)
    return sorted(late)[len(late) // 2]


@pytest.mark.parametrize("line", [_ORDINARY, *_WORST])
async def test_the_loop_stays_free(context: ActionContext, tmp_path: Path, line: bytes) -> None:
    """4 MB of ordinary lines, and of the worst: timers fire, and the action ends."""
    log = tmp_path / "syslog"
    log.write_bytes(line * ((4 << 20) // len(line)))
    wide = replace(context, max_bytes=8 << 20)
    collecting = asyncio.ensure_future(collect_tails(wide, (str(log),)))
    assert await _median_lag_sec(collecting) < 0.02
    collected = await collecting
    left_out = "out of time to search" in collected.error
    assert left_out == collected.truncated
    if line is _ORDINARY:
        assert _written(wide).count(b"\n") == log.read_bytes().count(b"\n") + 2


async def test_it_ends_as_soon_as_it_is_told_to(context: ActionContext, tmp_path: Path) -> None:
    """An agent that is stopped does not wait for the search of a hostile log."""
    log = tmp_path / "syslog"
    log.write_bytes(_WORST[1] * 1200)
    wide = replace(context, max_bytes=32 << 20)
    begun_sec = time.monotonic()
    with anyio.move_on_after(0.2) as scope:
        await collect_tails(wide, (str(log),))
    assert scope.cancelled_caught
    assert time.monotonic() - begun_sec < 5


async def test_a_key_that_begins_before_the_end_of_a_log_is_masked(
    context: ActionContext, tmp_path: Path
) -> None:
    """What is kept begins within a private key: its lines go all the same."""
    log = tmp_path / "syslog"
    body = b"MIIEowIBAAKCAQEAsecretsecretsecretsecretsecretsecretsecretsecret12\n"
    key = b"-----BEGIN PRIVATE KEY-----\n" + body * 30 + b"-----END PRIVATE KEY-----\n"
    log.write_bytes(b"before\n" * 1000 + key + b"after\n" * 50)
    small = replace(context, max_bytes=1500)
    collected = await collect_tails(small, (str(log),))
    assert collected.truncated
    written = _written(small)
    assert b"secret" not in written
    assert written.endswith(b"********\n-----END PRIVATE KEY-----\n" + b"after\n" * 50 + b"\n")


async def test_a_line_that_looks_like_a_key_takes_no_log_with_it(
    context: ActionContext, tmp_path: Path
) -> None:
    """Anybody can log the first line of a private key: what others log after it stays."""
    log = tmp_path / "syslog"
    lines = b"Nov 22 12:00:00 nas kernel: CIFS: VFS: no response\n" * 300
    log.write_bytes(b"Nov 22 12:00:00 nas u1: -----BEGIN RSA PRIVATE KEY-----\n" + lines)
    await collect_tails(context, (str(log),))
    assert _written(context).count(b"no response") >= min(300, context.max_bytes // 60)
