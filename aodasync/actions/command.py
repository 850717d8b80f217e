# SPDX-License-Identifier: MIT
"""Actions that are one command whose output is the evidence."""

from __future__ import annotations

import os
import re

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.config.model import UserAction
from aodasync.worker import in_thread

__all__ = ["command_action", "kernel_table", "run_command", "user_action"]


async def run_command(context: ActionContext, argv: tuple[str, ...]) -> Collected:
    """Run a command within the context's limits; its output becomes the action's file.

    Raises:
        RequirementError: the program is not installed, or an earlier run of it still hangs.
        OSError: it could not be started, or the file not written.
    """
    file = os.fdopen(await context.create(), "wb")
    try:
        end = await context.children.run(
            argv, file, timeout_sec=context.timeout_sec, max_bytes=context.max_bytes
        )
    finally:
        await in_thread(file.close)
    return Collected(
        argv=argv,
        exit_code=end.exit_code,
        truncated=end.truncated,
        timed_out=end.timed_out,
        abandoned=end.abandoned,
        error=end.error,
    )


def kernel_table(name: str, file: str, path: str, cost: Cost = Cost.TABLE) -> Action:
    """An action that copies a file below /proc/fs/cifs.

    A child reads it: most of them walk the client's lists under its spinlocks, over
    which a reader once could deadlock, and a child can be left behind.
    """
    return command_action(name, file, cost, ("cat", path))


def command_action(
    name: str, file: str, cost: Cost, argv: tuple[str, ...], timeout_sec: float | None = None
) -> Action:
    """An action that is a fixed command."""

    async def collect(context: ActionContext) -> Collected:
        return await run_command(context, argv)

    return Action(name, file, cost, collect, argv=argv, timeout_sec=timeout_sec)


def user_action(declared: UserAction) -> Action:
    """An action that the configuration declares; ``NAME.log``, odd characters replaced."""
    file = re.sub(r"[^A-Za-z0-9._-]+", "-", declared.name).lstrip(".")[:64]
    return command_action(
        declared.name, f"{file or 'user'}.log", Cost.COMMAND, declared.command, declared.timeout_sec
    )
