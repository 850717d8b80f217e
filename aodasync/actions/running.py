# SPDX-License-Identifier: MIT
"""Runs actions. Whatever happens to one is its entry in the manifest, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import anyio

from aodasync.actions.action import Action, ActionContext, ActionResult, Collected, Cost
from aodasync.actions.crash_notes import CrashNotes
from aodasync.errors import AodasyncError
from aodasync.host import safe_files
from aodasync.process.stop_deadline import StopDeadline

__all__ = ["NO_ROOM", "Run", "dropped", "not_run", "run_actions"]

Collect: TypeAlias = Callable[[ActionContext], Awaitable[Collected]]

# Children are killed within a second of their deadline; this margin is for reads of our own.
_NET_SEC = 5.0

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a full disk answers, and one whose quota is used up."""

_LEFT_OUT = "left out: it ran at two crashes in a row (hint: aodasync doctor --retry)"

_CUT_SHORT = "cut short: the agent is stopping"

# What is volatile is alone on the machine for so long; then the rest begins, done or not.
_HEAD_START_SEC = 0.25


@dataclass(frozen=True, slots=True)
class Run:
    """What the actions of one bundle are run with.

    ``slots``, ``guard`` and ``stop`` are shared by all bundles; ``guard`` lets one
    guarded action run at a time. ``done`` is called with each result as it comes,
    ``volatile_done`` once, when the volatile ones have ended, ``head_start_over`` when the
    others are next. ``notes`` are taken of what runs, and say what is left out.
    """

    slots: asyncio.Semaphore
    guard: asyncio.Lock
    context: ActionContext
    done: Callable[[ActionResult], None]
    volatile_done: Callable[[], None] = lambda: None
    head_start_over: Callable[[], None] = lambda: None
    notes: CrashNotes = field(default_factory=lambda: CrashNotes(None))
    stop: StopDeadline = field(default_factory=StopDeadline)


async def run_actions(
    actions: tuple[Action, ...], run: Run, first: Collection[asyncio.Future[Any]] = ()
) -> list[ActionResult]:
    """Run actions in their order; the results are in the order given.

    Volatile ones begin at once, all of them, and have a head start; others as slots come
    free, once what comes ``first`` has ended, well or not; those that compare two moments
    finish when these have ended; guarded ones come last, alone.
    """
    try:
        return await _run_in_order(actions, run, first)
    finally:
        await run.notes.close()


async def _run_in_order(
    actions: tuple[Action, ...],
    run: Run,
    first: Collection[asyncio.Future[Any]],
) -> list[ActionResult]:
    async with asyncio.TaskGroup() as group:
        volatile = [group.create_task(_first(a, run)) for a in _of(actions, Cost.VOLATILE)]
        if volatile:
            _call_after(volatile, run.volatile_done)
            await asyncio.wait(volatile, timeout=_HEAD_START_SEC)
        run.head_start_over()
        if first:
            await asyncio.wait(first)
        others = [a for a in actions if Cost.VOLATILE < a.cost < Cost.GUARDED]
        tasks = [*volatile, *(group.create_task(_in_slot(a, run)) for a in others)]
    results = {task.result().name: task.result() for task in tasks}
    async with asyncio.TaskGroup() as group:
        second = [
            group.create_task(_finish(action, action.finish, results[action.name], run))
            for action in actions
            if action.finish is not None
        ]
    results |= {task.result().name: task.result() for task in second}
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


def dropped(result: ActionResult) -> ActionResult:
    """The result of an action whose file was removed for want of room."""
    error = f"the disk is full: {result.bytes} bytes left out"
    return replace(result, file=None, bytes=0, truncated=False, error=error)


async def _run_one(action: Action, collect: Collect, run: Run) -> ActionResult:
    if run.notes.leave_out(action):
        return not_run(action, _LEFT_OUT)
    try:
        await run.notes.begin(action)
        return await _run_now(action, collect, run)
    finally:
        run.notes.end(action)


async def _run_now(action: Action, collect: Collect, run: Run) -> ActionResult:
    context = replace(run.context, file=action.file)
    if action.timeout_sec is not None:
        context = replace(context, timeout_sec=action.timeout_sec)
    begun_sec = time.monotonic()
    collected = Collected(error=_CUT_SHORT)
    is_full = False
    with run.stop.limit():
        try:
            collected = await _collected(collect, context)
        except OSError as error:
            is_full, collected = error.errno in NO_ROOM, Collected(error=str(error))
    duration_ms = (time.monotonic() - begun_sec) * 1e3
    result = _result(action, collected, duration_ms, context.directory_fd)
    if is_full:
        # At once: the actions that follow, and the requests, need the room.
        safe_files.remove(action.file, dir_fd=context.directory_fd)
        result = dropped(result)
    return result


async def _collected(collect: Collect, context: ActionContext) -> Collected:
    """What became of an action, whatever that is. Raises OSError."""
    try:
        with anyio.fail_after(context.timeout_sec + _NET_SEC):
            return await collect(context)
    except TimeoutError:
        return Collected(timed_out=True, error=f"timed out after {context.timeout_sec:g} s")
    except AodasyncError as error:
        return Collected(error=str(error))
    except OSError:
        raise
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
