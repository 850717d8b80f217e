# SPDX-License-Identifier: MIT
"""Where tasks wait in the kernel: /proc/PID/task/TID/stack of those that SMB may hold.

1. At once: the threads that had a request in flight or an operation inside the client,
   every task in uninterruptible sleep (state D; who waits for a response is killable, and
   shown as D), and ``cifsd``, the kernel thread that receives for one connection.
2. When the other actions have run: sleepers (state S) whose stack leads through cifs. Who
   waits for a reconnect sleeps so (``smb2_reconnect``).

They are found by their ``status``, some 15 us each, in a worker thread, within a time.
Their stacks are read by a child (:mod:`aodasync.process.stacks`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import section
from aodasync.host.threads import in_thread
from aodasync.process.children import Children
from aodasync.process.stacks import Stacks, ThreadStack, read_stacks

__all__ = ["STACKS", "collect_sleepers", "collect_stacks"]

_MOST_STACKS: Final = 256
_MOST_SLEEPERS: Final = 512
_WALK_SEC: Final = 0.5
_STATUS_BYTES: Final = 4096  # with a process of hundreds of groups, not as far as its threads
_KTHREADD: Final = 2
_STATUS: Final = re.compile(
    rb"Name:\t(?P<name>.*)\n(?:.*\n)*?State:\t(?P<state>.).*\n(?:.*\n)*?PPid:\t(?P<parent>\d+)\n"
    rb"(?:(?:.*\n)*?Threads:\t(?P<threads>\d+)\n)?"
)
_SMB: Final = ("[cifs]", "[netfs]", "cifs_", "smb2_")


async def _collect(context: ActionContext) -> Collected:
    waiting = frozenset(context.waiting)
    with await context.in_turn() as held:
        text, error = await collect_stacks(context.children, waiting, started=held.close)
    return Collected(truncated=await context.write(text), error=error)


async def _finish(context: ActionContext) -> Collected:
    text = await collect_sleepers(context.children, frozenset(context.waiting))
    return Collected(truncated=await context.add(text))


async def collect_stacks(
    children: Children,
    waiting: frozenset[int],
    proc: str = "/proc",
    *,
    started: Callable[[], object] = lambda: None,
) -> tuple[str, str]:
    """The stacks of 1 as text, and what went wrong. ``waiting`` are threads to be shown anyhow.

    ``started`` is called once the child runs that reads them.

    Raises:
        RequirementError: no child can be started.
        OSError: likewise.
    """
    tasks = await in_thread(partial(_choose, waiting, proc), abandon=True)
    stacks = await read_stacks(children, tasks.certain, proc, started=started)
    unread = [
        section(f"tid {tid}", "not read: its process holds a lock, as in an exec that waits\n")
        for tid in sorted(stacks.hanging)
    ]
    head = f"{tasks.seen} tasks, {len(stacks.found)} shown\n"
    text = "\n".join([head, *map(_described, stacks.found.values()), *unread])
    return text, await in_thread(partial(_problem, stacks, proc), abandon=True)


async def collect_sleepers(children: Children, waiting: frozenset[int], proc: str = "/proc") -> str:
    """The stacks of 2 as text; those that are not read are counted.

    Raises:
        RequirementError: no child can be started.
        OSError: likewise.
    """
    tasks = await in_thread(partial(_choose, waiting, proc), abandon=True)
    stacks = await read_stacks(children, tasks.sleepers, proc)
    inside = [t for t in stacks.found.values() if any(word in t.stack for word in _SMB)]
    head = f"\n{len(stacks.found)} of {tasks.sleeping} sleepers read, {len(inside)} in cifs\n"
    return "\n".join([head, *map(_described, inside[:_MOST_STACKS])])


@dataclass(slots=True)
class _Tasks:
    """Threads by how their stacks are wanted; how many there are, and how many sleep."""

    certain: list[int]
    sleepers: list[int]
    seen: int = 0
    sleeping: int = 0


def _choose(waiting: frozenset[int], proc: str) -> _Tasks:
    until_sec = time.monotonic() + _WALK_SEC
    tasks = _Tasks([], [])
    for tid, comm, state, parent in _statuses(proc):
        tasks.seen += 1
        if state == "D" or tid in waiting or comm.startswith("cifsd"):
            tasks.certain.append(tid)
        elif state == "S" and parent != _KTHREADD:
            tasks.sleeping += 1
            tasks.sleepers.append(tid)
        if time.monotonic() > until_sec:
            break
    # Those that wait come first: of all blocked tasks, they are sure to be of interest.
    tasks.certain.sort(key=lambda tid: tid not in waiting)
    del tasks.certain[_MOST_STACKS:], tasks.sleepers[_MOST_SLEEPERS:]
    return tasks


def _statuses(proc: str) -> Iterator[tuple[int, str, str, int]]:
    """Number, name, state and parent of each thread.

    The status of a process is that of its first thread, and says whether there are more: the
    list of threads of each process took as long as all else.
    """
    for pid in filter(str.isdigit, _names(proc)):
        first = _status(f"{proc}/{pid}/status")
        alone = first is not None and first["threads"] == b"1"
        for tid in (pid,) if alone else _names(f"{proc}/{pid}/task"):
            status = first if tid == pid else _status(f"{proc}/{pid}/task/{tid}/status")
            if status is not None:
                name = status["name"].decode("utf-8", "replace")
                yield int(tid), name, status["state"].decode(), int(status["parent"])


def _names(directory: str) -> list[str]:
    """What a directory of /proc holds; nothing if its task ended meanwhile."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _status(path: str) -> re.Match[bytes] | None:
    """The fields of a status; None if its task ended meanwhile."""
    # Bare system calls: a walk of thousands of tasks is made of these.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _STATUS.match(os.read(descriptor, _STATUS_BYTES))
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _described(task: ThreadStack) -> str:
    title = f"pid {task.pid} tid {task.tid} {task.comm} state {task.state} wchan {task.wchan}"
    return section(title, task.stack)


def _problem(stacks: Stacks, proc: str) -> str:
    if stacks.hanging:
        count = len(stacks.hanging)
        return f"{count} stacks not read: a process holds a lock, as in an exec that waits"
    if stacks.denied:
        return "stacks cannot be read: not permitted"
    if not Path(proc, "self/stack").exists():
        return "this kernel shows no stacks (CONFIG_STACKTRACE)"
    return ""


STACKS = Action(
    "stacks",
    "stacks.log",
    Cost.VOLATILE,
    _collect,
    path="/proc/*/task/*/stack",
    finish=_finish,
)
