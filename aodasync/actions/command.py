# SPDX-License-Identifier: MIT
"""Actions that are one command whose output is the evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import BinaryIO, TypeAlias

from aodasync.actions.action import Action, ActionContext, Collected, Cost, UserAction
from aodasync.host import safe_files
from aodasync.host.capabilities import Capability
from aodasync.host.threads import in_thread

__all__ = ["command_action", "kernel_table", "run_command", "run_commands", "user_action"]

Capabilities: TypeAlias = Collection[Capability] | None


async def run_command(
    context: ActionContext, argv: tuple[str, ...], capabilities: Capabilities = ()
) -> Collected:
    """Run a command within the context's limits; its output becomes the action's file.

    ``capabilities`` are what it needs of the agent's; None: all.

    Raises:
        RequirementError: the program is not installed, or an earlier run of it still hangs.
        OSError: it could not be started, or the file not written.
    """
    return await run_commands(context, argv, {}, capabilities)


async def run_commands(
    context: ActionContext,
    argv: tuple[str, ...],
    others: Mapping[str, tuple[str, ...]],
    capabilities: Capabilities = (),
    of_others: Capabilities = (),
    *,
    started: Callable[[], object] = lambda: None,
) -> Collected:
    """The same, and then others into the same file, each under its title.

    What is returned is of the first; why another failed stands under its title. ``started``
    is called once the first one runs.
    """
    run = partial(context.children.run, timeout_sec=context.timeout_sec)
    first = await run(
        argv,
        context.create,
        max_bytes=context.max_bytes,
        capabilities=capabilities,
        started=started,
    )
    for title, other in others.items():
        left = await in_thread(partial(_begin_section, context, title))
        append = partial(_opened, context)
        end = await run(other, append, max_bytes=left, capabilities=of_others)
        await in_thread(partial(_end_section, context, end.error))
    return Collected.of(argv, first)


def _begin_section(context: ActionContext, title: str) -> int:
    """Add the title to the context's file; returns how many bytes it had room for before."""
    with _opened(context) as file:
        left = context.max_bytes - file.tell()
        file.write(f"\n=== {title}\n".encode())
    return max(0, left)


def _end_section(context: ActionContext, error: str) -> None:
    with _opened(context) as file:
        file.write(f"{error}\n".encode())


def _opened(context: ActionContext) -> BinaryIO:
    """The context's file, to be added to."""
    return safe_files.open_to_append(context.file, dir_fd=context.directory_fd)


def kernel_table(name: str, file: str, path: str, cost: Cost = Cost.TABLE) -> Action:
    """An action that copies a file below /proc/fs/cifs.

    A child reads it: most of them walk the client's lists under its spinlocks, over
    which a reader once could deadlock, and a child can be left behind.
    """
    return command_action(name, file, cost, ("cat", path))


def command_action(
    name: str,
    file: str,
    cost: Cost,
    argv: tuple[str, ...],
    *,
    timeout_sec: float | None = None,
    capabilities: Capabilities = (),
) -> Action:
    """An action that is a fixed command."""

    async def collect(context: ActionContext) -> Collected:
        return await run_command(context, argv, capabilities)

    return Action(name, file, cost, collect, argv=argv, timeout_sec=timeout_sec)


def user_action(declared: UserAction) -> Action:
    """An action that the configuration declares; ``NAME.log``, odd characters replaced."""
    file = re.sub(r"[^A-Za-z0-9._-]+", "-", declared.name).lstrip(".")[:64]
    return command_action(
        declared.name,
        f"{file or 'user'}.log",
        Cost.COMMAND,
        declared.command,
        timeout_sec=declared.timeout_sec,
        capabilities=None,
    )
