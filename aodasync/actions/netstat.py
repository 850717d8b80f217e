# SPDX-License-Identifier: MIT
"""The host's TCP counters, and what they counted while the bundle was collected.

Of the agent's network namespace: mounts of a container with its own are not in them.
"""

from __future__ import annotations

from typing import Final

from aodasync.actions.action import ActionContext, Collected
from aodasync.actions.compared import compared_action
from aodasync.actions.kernel_files import read_small
from aodasync.host.threads import in_thread

__all__ = ["NETSTAT", "parse_counters"]

_PATHS: Final = ("/proc/net/snmp", "/proc/net/netstat")
_GROUPS: Final = ("Tcp:", "TcpExt:", "Ip:", "IpExt:")


def parse_counters(text: str) -> dict[str, int]:
    """Pairs of lines (``Tcp: NAME ...``, ``Tcp: VALUE ...``) as ``{"Tcp.NAME": value}``."""
    lines = [line.split() for line in text.splitlines() if line.startswith(_GROUPS)]
    counters = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        for name, value in zip(names[1:], values[1:], strict=False):
            counters[f"{names[0].removesuffix(':')}.{name}"] = int(value)
    return counters


def _difference(before: str, after: str) -> str:
    was, now = parse_counters(before), parse_counters(after)
    steps = ((name, value - was.get(name, 0)) for name, value in now.items())
    return "".join(f"{name}: {step:+d}\n" for name, step in steps if step) or "nothing changed\n"


async def _read(context: ActionContext) -> tuple[Collected, str]:
    text = await in_thread(lambda: "".join(map(read_small, _PATHS)), abandon=True)
    room = context.max_bytes // 4
    lines = "\n".join(line for line in text.splitlines() if line.startswith(_GROUPS))
    return Collected(truncated=len(lines) > room), lines[:room]


NETSTAT = compared_action("netstat", "netstat.log", _read, _difference, path=", ".join(_PATHS))
