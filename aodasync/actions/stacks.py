# SPDX-License-Identifier: MIT
"""Where tasks wait in the kernel: /proc/PID/task/TID/stack of those that SMB may hold.

1. The threads that had a request in flight, every task in uninterruptible sleep
   (state D; who waits for a response is killable, and shown as D), and ``cifsd``, the
   kernel thread that receives for one connection.
2. Then, as far as the time allows, sleepers (state S) whose stack leads through cifs:
   who waits for a reconnect sleeps so (``smb2_reconnect``).

A walk of /proc takes some 10 us a task, two more reads for each that is kept. It
happens in a worker thread and ends after a time and a number of stacks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.worker import in_thread

__all__ = ["STACKS", "collect_stacks"]

_MOST_STACKS: Final = 256
_MOST_BYTES: Final = 64 * 1024  # PROC_STACK entries are 64 at most (fs/proc/base.c)
_WALK_SEC: Final = 0.5
_SMB: Final = ("[cifs]", "[netfs]", "cifs_", "smb2_")
_PF_KTHREAD: Final = 0x00200000


@dataclass(frozen=True, slots=True)
class _Task:
    pid: int
    tid: int
    comm: str
    state: str
    kernel_thread: bool


async def _collect(context: ActionContext) -> Collected:
    text, error = await in_thread(partial(collect_stacks, frozenset(context.waiting)))
    return Collected(truncated=await context.write(text), error=error)


def collect_stacks(waiting: frozenset[int], proc: str = "/proc") -> tuple[str, str]:
    """The stacks as text, and what went wrong. ``waiting`` are threads to be shown anyhow."""
    until_sec = time.monotonic() + _WALK_SEC
    parts: list[str] = []
    sleepers: list[_Task] = []
    seen = 0
    unreadable = ""
    for task in _tasks(proc):
        seen += 1
        if not (task.state == "D" or task.tid in waiting or task.comm.startswith("cifsd")):
            if task.state == "S" and not task.kernel_thread:
                sleepers.append(task)
        elif len(parts) < _MOST_STACKS:
            stack, why = _stack(proc, task)
            unreadable = unreadable or why
            parts.append(_describe(proc, task, stack))
        if time.monotonic() > until_sec:
            break
    looked_at = 0
    for task in sleepers:
        if len(parts) >= _MOST_STACKS or unreadable or time.monotonic() > until_sec:
            break
        looked_at += 1
        stack, _ = _stack(proc, task)
        if any(word in stack for word in _SMB):
            parts.append(_describe(proc, task, stack))
    head = f"{seen} tasks, {len(parts)} shown; {looked_at} of {len(sleepers)} sleepers looked at\n"
    return "\n".join([head, *parts]), unreadable


def _tasks(proc: str) -> Iterator[_Task]:
    for pid in filter(str.isdigit, _names(proc)):
        for tid in _names(f"{proc}/{pid}/task"):
            try:
                stat = _read(f"{proc}/{pid}/task/{tid}/stat")
            except OSError:
                continue
            # proc_pid_stat(5): the name, in parentheses, may hold anything.
            front, _, back = stat.rpartition(")")
            fields = back.split()
            if len(fields) > 6:
                comm = front.partition("(")[2]
                kernel_thread = bool(int(fields[6]) & _PF_KTHREAD)
                yield _Task(int(pid), int(tid), comm, fields[0], kernel_thread)


def _names(directory: str) -> list[str]:
    """What a directory of /proc holds; nothing if its task ended meanwhile."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _stack(proc: str, task: _Task) -> tuple[str, str]:
    """The stack, and why it could not be read (CONFIG_STACKTRACE, CAP_SYS_ADMIN)."""
    try:
        return _read(f"{proc}/{task.pid}/task/{task.tid}/stack"), ""
    except (FileNotFoundError, ProcessLookupError):
        gone = not _names(f"{proc}/{task.pid}/task/{task.tid}")
        return "", "" if gone else "this kernel shows no stacks (CONFIG_STACKTRACE)"
    except OSError as error:
        return "", f"stacks cannot be read: {str(error.strerror).lower()}"


def _describe(proc: str, task: _Task, stack: str) -> str:
    try:
        wchan = _read(f"{proc}/{task.pid}/task/{task.tid}/wchan")
    except OSError:
        wchan = "?"
    title = f"pid {task.pid} tid {task.tid} {task.comm} state {task.state} wchan {wchan}"
    return f"==> {title} <==\n{stack}"


def _read(path: str) -> str:
    # Bare system calls: a walk of thousands of tasks is made of these.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MOST_BYTES).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


STACKS = Action("stacks", "stacks.log", Cost.VOLATILE, _collect, path="/proc/*/task/*/stack")
