# SPDX-License-Identifier: MIT
"""The TCP sockets of SMB connections as the kernel sees them: ss(8) of iproute2.

``-i`` gives rtt, retransmits, congestion window and the times of the last segments,
``-m`` the queues' memory, ``-o`` the running timer, ``-e`` what else there is. The
sockets are the kernel's own, so no process is looked for. Those of the agent's network
namespace, then those of the others that a mount was made in.
"""

from __future__ import annotations

from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.command import run_commands
from aodasync.process.enter_netns import ENTERING, entering
from aodasync.smb.commands import SMB_PORT

__all__ = ["SOCKETS"]

_ARGV: Final = ("ss", "-tinmoe")
_MOST_NAMESPACES: Final = 8


async def _collect(context: ActionContext) -> Collected:
    ports = sorted({SMB_PORT, *context.ports})
    peers = " or ".join(f"dport = :{port}" for port in ports)
    argv = (*_ARGV, f"( {peers} )")
    others = {
        f"network namespace {inode}": entering(inode, *argv)
        for inode in context.netns[:_MOST_NAMESPACES]
    }
    with await context.in_turn() as held:
        return await run_commands(context, argv, others, of_others=ENTERING, started=held.close)


SOCKETS = Action("sockets", "sockets.log", Cost.VOLATILE, _collect, argv=_ARGV)
