# SPDX-License-Identifier: MIT
"""Actions that take a table of counters twice and say what changed in between.

Their file has three sections: ``before``, on disk at once; ``after`` and
``difference``, added when the other actions have run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import section
from aodasync.host import safe_files
from aodasync.host.threads import in_thread

__all__ = ["Read", "compared_action", "sections"]

Read: TypeAlias = Callable[[ActionContext], Awaitable[tuple[Collected, str]]]
"""Reads the table once; at most a quarter of the context's cap."""

_TITLE: Final = re.compile(r"^==> (before|after|difference) <==\n", re.MULTILINE)


def sections(text: str) -> dict[str, str]:
    """The parts of such a file: ``before``, ``after``, ``difference``, as far as there."""
    parts = _TITLE.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def compared_action(
    name: str,
    file: str,
    read: Read,
    difference: Callable[[str, str], str],
    *,
    argv: tuple[str, ...] = (),
    path: str = "",
) -> Action:
    """An action of two readings; ``difference`` is given both, and is pure."""

    async def collect(context: ActionContext) -> Collected:
        collected, text = await read(context)
        await context.write(section("before", text))
        return collected

    async def finish(context: ActionContext) -> Collected:
        before = sections(await in_thread(partial(_read_back, context)))["before"]
        collected, after = await read(context)
        added = section("after", after) + section("difference", difference(before, after))
        cut = await context.add(added)
        return replace(collected, truncated=collected.truncated or cut)

    return Action(name, file, Cost.TABLE, collect, argv=argv, path=path, finish=finish)


def _read_back(context: ActionContext) -> str:
    descriptor = safe_files.open_regular(context.file, dir_fd=context.directory_fd)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        return file.read()
