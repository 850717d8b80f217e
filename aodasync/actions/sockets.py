# SPDX-License-Identifier: MIT
"""The TCP sockets of SMB connections as the kernel sees them: ss(8) of iproute2.

``-i`` gives rtt, retransmits, congestion window and the times of the last segments,
``-m`` the queues' memory, ``-o`` the running timer, ``-e`` what else there is. The
sockets are the kernel's own, so no process is looked for. Of the agent's network
namespace: mounts of a container with its own are not among them.
"""

from __future__ import annotations

from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.command import run_command

__all__ = ["SOCKETS"]

_ARGV: Final = ("ss", "-tinmoe")
_SMB_PORT: Final = 445


async def _collect(context: ActionContext) -> Collected:
    ports = sorted({_SMB_PORT, *context.ports})
    peers = " or ".join(f"dport = :{port}" for port in ports)
    return await run_command(context, (*_ARGV, f"( {peers} )"))


SOCKETS = Action("sockets", "sockets.log", Cost.VOLATILE, _collect, argv=_ARGV)
