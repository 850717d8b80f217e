# SPDX-License-Identifier: MIT
"""Runs actions. Whatever happens to one is its entry in the manifest, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import anyio

from aodasync.actions.action import Action, ActionContext, ActionResult, Collected, Cost
from aodasync.actions.patience import Patience
from aodasync.errors import AodasyncError

__all__ = ["Run", "not_run", "run_actions"]

Collect: TypeAlias = Callable[[ActionContext], Awaitable[Collected]]

# A child is put down within a second of its deadline; this is for what hangs in our own reads.
_NET_SEC = 5.0

_CUT_SHORT = "cut short: the agent was told to stop"

# What is volatile is alone on the machine for so long; then the rest begins, done or not.
_HEAD_START_SEC = 0.25


@dataclass(frozen=True, slots=True)
class Run:
    """What the actions of one bundle are run with.

    ``slots``, ``guard`` and ``patience`` are shared by all bundles; ``guard`` lets one
    guarded action run at a time. ``done`` is called with each result as it comes,
    ``volatile_done`` once, when the volatile ones have ended.
    """

    slots: asyncio.Semaphore
    guard: asyncio.Lock
    context: ActionContext
    done: Callable[[ActionResult], None]
    volatile_done: Callable[[], None] = lambda: None
    patience: Patience = field(default_factory=Patience)


async def run_actions(actions: tuple[Action, ...], run: Run) -> list[ActionResult]:
    """Run actions in their order; the results are in the order given.

    Volatile ones begin at once, all of them; others as slots come free; those that
    compare two moments finish when these have ended; guarded ones come last, alone.
    """
    async with asyncio.TaskGroup() as group:
        volatile = [group.create_task(_first(a, run)) for a in _of(actions, Cost.VOLATILE)]
        if volatile:
            _call_after(volatile, run.volatile_done)
            await asyncio.wait(volatile, timeout=_HEAD_START_SEC)
        others = [a for a in actions if Cost.VOLATILE < a.cost < Cost.GUARDED]
        tasks = [*volatile, *(group.create_task(_in_slot(a, run)) for a in others)]
    results = {task.result().name: task.result() for task in tasks}
    for action in actions:
        if action.finish is not None:
            results[action.name] = await _finish(action, action.finish, results[action.name], run)
    for action in _of(actions, Cost.GUARDED):
        async with run.guard:
            results[action.name] = await _in_slot(action, run)
    return [results[action.name] for action in actions]


def _call_after(tasks: Iterable[asyncio.Task[ActionResult]], call: Callable[[], None]) -> None:
    """Call once, as soon as the last of the tasks has ended."""
    waited_for = set(tasks)

    def ended(task: asyncio.Task[ActionResult]) -> None:
        waited_for.discard(task)
        if not waited_for:
            call()

    for task in tuple(waited_for):
        task.add_done_callback(ended)


def _of(actions: tuple[Action, ...], cost: Cost) -> list[Action]:
    return [action for action in actions if action.cost == cost]


async def _in_slot(action: Action, run: Run) -> ActionResult:
    async with run.slots:
        return await _first(action, run)


async def _first(action: Action, run: Run) -> ActionResult:
    result = await _run_one(action, action.collect, run)
    if action.finish is None:
        run.done(result)
    return result


async def _finish(action: Action, finish: Collect, before: ActionResult, run: Run) -> ActionResult:
    """The result of both readings; a first one that failed stays the only one."""
    result = before
    if before.ok:
        second = await _run_one(action, finish, run)
        duration_ms = before.duration_ms + second.duration_ms
        truncated = before.truncated or second.truncated
        result = replace(second, duration_ms=duration_ms, truncated=truncated)
    run.done(result)
    return result


def not_run(action: Action, error: str) -> ActionResult:
    """The result of an action that was not even tried."""
    return _result(action, Collected(error=error), 0.0, None)


async def _run_one(action: Action, collect: Collect, run: Run) -> ActionResult:
    context = replace(run.context, file=action.file)
    if action.timeout_sec is not None:
        context = replace(context, timeout_sec=action.timeout_sec)
    begun_sec = time.monotonic()
    collected = Collected(error=_CUT_SHORT)
    with run.patience.limit():
        collected = await _collected(collect, context)
    return _result(action, collected, (time.monotonic() - begun_sec) * 1e3, context.directory_fd)


async def _collected(collect: Collect, context: ActionContext) -> Collected:
    try:
        with anyio.fail_after(context.timeout_sec + _NET_SEC):
            return await collect(context)
    except TimeoutError:
        return Collected(timed_out=True, error=f"timed out after {context.timeout_sec:g} s")
    except (AodasyncError, OSError) as error:
        return Collected(error=str(error))
    except Exception as error:  # noqa: BLE001  # a defect in one action must not cost the bundle
        return Collected(error=f"{type(error).__name__}: {error}")


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
