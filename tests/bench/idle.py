# SPDX-License-Identifier: MIT
"""What the agent takes while no request comes: processor time, and how often it wakes.

Of two agents at once, for a minute each, which is the longest interval at which anything looks
around: one has seen a single request of one connection, which has a socket, the other none.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from aodasync.events import MidState
from aodasync.smb.commands import COMMAND_CODES
from tests.bench.agent_process import AgentProcess
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.kernel.fake_client import FakeClient
from tests.kernel.rig import Rig

__all__ = ["measure"]

SHARE_PERCENT = 0.05
WAKEUPS_PER_SEC = 3.0

_ADDRESS = "127.4.4.5"
_SETTLE_SEC = 12.0  # longer than it stays busy after a request
_SPAN_SEC = 60


@dataclass(slots=True)
class _Wakeups:
    """Voluntary switches of all threads since the first look, those that end included."""

    agent: AgentProcess
    total: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def look(self) -> None:
        now = Counter(self.agent.switches())
        self.total += (now - self.seen).total()
        self.seen |= now


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures."""
    with ExitStack() as stack:
        agents = {}
        for name in ("no connection", "one connection"):
            scratch = bench.scratch / name.replace(" ", "-")
            scratch.mkdir(exist_ok=True)
            rig = stack.enter_context(bench.rig())
            agent = stack.enter_context(AgentProcess(scratch, types=bench.types, maps=rig.maps))
            agent.wait_for("agent_ready")
            agents[name] = agent
        stack.enter_context(_connected())
        _send_one(rig)
        time.sleep(_SETTLE_SEC)
        wakeups = {name: _Wakeups(agent) for name, agent in agents.items()}
        for each in wakeups.values():
            each.look()
            each.total = 0
        before = {name: agent.all_cpu_sec() for name, agent in agents.items()}
        begun_sec = time.monotonic()
        for _ in range(_SPAN_SEC):
            time.sleep(1.0)
            for each in wakeups.values():
                each.look()
        span_sec = time.monotonic() - begun_sec
        for name, agent in agents.items():
            share = 100 * (agent.all_cpu_sec() - before[name]) / span_sec
            yield Figure(f"share of one core, {name}", share, "%", SHARE_PERCENT)
            per_sec = wakeups[name].total / span_sec
            yield Figure(f"wake-ups, {name}", per_sec, "/s", WAKEUPS_PER_SEC)
        read = agents["one connection"].status()["reader"]["events"]
        yield Figure("requests missed of the one", 1 - read, "", 0)


@contextmanager
def _connected() -> Iterator[None]:
    peer = _ADDRESS, 445
    with socket.create_server(peer) as server, socket.create_connection(peer), server.accept()[0]:
        yield


def _send_one(rig: Rig) -> None:
    client = FakeClient(rig)
    server = client.server(0, 7, "server-7", _ADDRESS)
    mid = client.alloc(0, server, COMMAND_CODES["SMB2_WRITE"])
    client.receive(mid)
    client.release(mid, MidState.READY)
