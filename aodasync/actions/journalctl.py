# SPDX-License-Identifier: MIT
"""The journal since the look-back began."""

from __future__ import annotations

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.command import run_command

__all__ = ["JOURNALCTL"]

_ARGV = ("journalctl", "--no-pager", "--quiet", "--output=short-iso-precise")


async def _collect(context: ActionContext) -> Collected:
    since_sec = context.since_realtime_ns // 1_000_000_000
    return await run_command(context, (*_ARGV, f"--since=@{since_sec}"))


JOURNALCTL = Action("journalctl", "journalctl.log", Cost.LOG, _collect, argv=_ARGV)
