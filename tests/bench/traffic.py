# SPDX-License-Identifier: MIT
"""Ordinary requests by the thousand, through the product's own submit path, and urgent ones."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from aodasync.events import MidState
from aodasync.probes.bpf import ProgramType, load_program
from aodasync.probes.program_loader import patched
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.fake_client import FakeClient, Mid
from tests.kernel.flood import compile_text
from tests.kernel.rig import Rig, run_repeatedly

__all__ = ["WAITING", "Background", "Pace", "SlowRequests"]

# READs and WRITEs of one connection, answered after 0.4 ms: neither slow nor in error.
_TEXT = """
#include "smb_ring.h"

int ordinary(void *ctx)
{
	u64 now = bpf_ktime_get_ns();
	struct smb_event *event = reserve();

	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->issued_ns = now - 400000;
	event->received_ns = now - 20000;
	event->released_ns = now;
	event->message_id = now;
	event->session_id = 77;
	event->connection_id = CONNECTION;
	event->tree_id = 5;
	event->pid = event->tgid = 4242;
	event->command = now & 64 ? READ : WRITE;
	event->kind = KIND_REQUEST;
	event->outcome = OUTCOME_ANSWERED;
	event->mid_state = MIDSTATE_READY;
	submit(event, now, false);
	return 1;
}
"""
_TICK_SEC = 0.001

WAITING = 100
"""Slow requests at a time; the rig's arena has room for 127."""


class Background:
    """The program over a rig's maps; ``offered`` counts what it was told to submit."""

    def __init__(self, rig: Rig, connection_id: int) -> None:
        numbers = {
            "CONNECTION": connection_id,
            "READ": COMMAND_CODES["SMB2_READ"],
            "WRITE": COMMAND_CODES["SMB2_WRITE"],
        }
        code = compile_text(_TEXT, numbers, "ordinary")["ordinary"]
        self._fd = load_program(ProgramType.SOCKET_FILTER, patched(code, rig.maps), "ordinary")
        self.offered = 0

    def run(self, times: int) -> int:
        """So many requests at once; returns ns per request."""
        self.offered += times
        return run_repeatedly(self._fd, times)

    def close(self) -> None:
        """Unload."""
        os.close(self._fd)


@dataclass
class Pace:
    """A background at so many requests a second, in ticks of a millisecond.

    ``even``: one after another, as many clients send them; that takes a processor.
    ``late_sec`` is how late this process woke from each of its sleeps: the machine's own delay.
    """

    background: Background
    per_sec: int
    even: bool = False
    late_sec: list[float] = field(default_factory=list)

    def keep(self, since_sec: float, until_sec: float) -> None:
        """Keep the pace from a past moment on until a coming one (both time.monotonic)."""
        done = 0
        while (now_sec := time.monotonic()) < until_sec:
            due = int((now_sec - since_sec) * self.per_sec)
            if due > done:
                self.background.run(due - done)
                done = due
            if self.even:
                continue
            due_sec = min(time.monotonic() + _TICK_SEC, until_sec)
            time.sleep(max(0.0, due_sec - time.monotonic()))
            self.late_sec.append(time.monotonic() - due_sec)


class SlowRequests:
    """WRITEs that wait for their answers, one after another to the ``connection_ids``.

    They go through the byte code that is attached to the client elsewhere: alloc,
    received, release. What it does with them is decided by the thresholds that the
    agent set. There are always :data:`WAITING` of them, so the oldest has waited for
    as long as that many answers took.
    """

    def __init__(self, rig: Rig, connection_ids: Iterator[int]) -> None:
        self._client = FakeClient(rig)
        self._connection_ids = connection_ids
        self._free: deque[int] = deque(range(WAITING))
        self._waiting: deque[Mid] = deque()
        self._fill()

    def answer_one(self) -> None:
        """The oldest one's response comes, and its caller takes it."""
        self._fill()
        mid = self._waiting.popleft()
        self._client.receive(mid)
        self._client.release(mid, MidState.READY)
        self._free.append(mid.slot)

    def _fill(self) -> None:
        while self._free:
            number = next(self._connection_ids)
            server = self._client.server(0, number, f"server-{number}", "10.0.0.1")
            slot = self._free.popleft()
            self._waiting.append(self._client.alloc(slot, server, COMMAND_CODES["SMB2_WRITE"]))
