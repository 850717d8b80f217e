# SPDX-License-Identifier: MIT
"""Runs actions. Whatever happens to one is its entry in the manifest, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import anyio

from aodasync.actions.action import Action, ActionContext, ActionResult, Collected, Cost
from aodasync.children import Children
from aodasync.errors import AodasyncError

__all__ = ["not_run", "run_actions"]

# A child is put down within a second of its deadline; this is for what hangs in our own reads.
_NET_SEC = 5.0


async def run_actions(
    actions: tuple[Action, ...],
    *,
    slots: asyncio.Semaphore,
    guard: asyncio.Lock,
    children: Children,
    directory_fd: int,
    since_realtime_ns: int,
    timeout_sec: float,
    max_bytes: int,
    done: Callable[[ActionResult], None],
) -> list[ActionResult]:
    """Run actions in their order, as ``slots`` come free; guarded ones alone, at the end.

    ``guard``, like ``slots`` shared by all bundles, lets one guarded action run at a time.
    ``done`` is called with each result as it comes; all are returned in the order given.
    """

    async def run(action: Action) -> ActionResult:
        context = ActionContext(
            since_realtime_ns=since_realtime_ns,
            timeout_sec=timeout_sec if action.timeout_sec is None else action.timeout_sec,
            max_bytes=max_bytes,
            directory_fd=directory_fd,
            file=action.file,
            children=children,
        )
        async with slots:
            result = await _run_one(action, context)
        done(result)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(a)) for a in actions if a.cost != Cost.GUARDED]
    results = {task.result().name: task.result() for task in tasks}
    for action in actions:
        if action.cost == Cost.GUARDED:
            async with guard:
                results[action.name] = await run(action)
    return [results[action.name] for action in actions]


def not_run(action: Action, error: str) -> ActionResult:
    """The result of an action that was not even tried."""
    return _result(action, Collected(error=error), 0.0, None)


async def _run_one(action: Action, context: ActionContext) -> ActionResult:
    begun_sec = time.monotonic()
    try:
        with anyio.fail_after(context.timeout_sec + _NET_SEC):
            collected = await action.collect(context)
    except TimeoutError:
        collected = Collected(timed_out=True, error=f"timed out after {context.timeout_sec:g} s")
    except (AodasyncError, OSError) as error:
        collected = Collected(error=str(error))
    except Exception as error:  # noqa: BLE001  # a defect in one action must not cost the bundle
        collected = Collected(error=f"{type(error).__name__}: {error}")
    return _result(action, collected, (time.monotonic() - begun_sec) * 1e3, context.directory_fd)


def _result(
    action: Action, collected: Collected, duration_ms: float, directory_fd: int | None
) -> ActionResult:
    size = _size(action.file, directory_fd)
    return ActionResult(
        name=action.name,
        file=None if size is None else action.file,
        argv=collected.argv or action.argv,
        path=action.path,
        exit_code=collected.exit_code,
        duration_ms=duration_ms,
        bytes=size or 0,
        truncated=collected.truncated,
        timed_out=collected.timed_out,
        abandoned=collected.abandoned,
        error=collected.error,
    )


def _size(file: str, directory_fd: int | None) -> int | None:
    if directory_fd is None or not file:
        return None
    try:
        return os.stat(file, dir_fd=directory_fd, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
