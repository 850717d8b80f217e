# SPDX-License-Identifier: MIT
"""Where threads wait in the kernel: /proc/TID/stack and wchan, read by children.

The kernel shows ``stack``, ``wchan``, ``stat`` and others of /proc/PID under the lock
``exec_update_lock`` of that process (``lock_trace``, fs/proc/base.c). An exec holds it
while it closes files that are close-on-exec (``begin_new_exec``, fs/exec.c), and the close
of a file with unwritten data waits for its server. So who reads them may hang with a
mount. A child can be killed: the wait for the lock is killable.

1. One ``cat`` reads all of them, each behind the thread's ``status``, which needs no lock
   and says whose stack follows.
2. If it hangs, it is ended. The thread that it stopped at is given up; for those behind
   it there is one ``cat`` each.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aodasync.host.capabilities import Capability
from aodasync.process.children import Children

__all__ = ["Stacks", "ThreadStack", "read_stacks"]

_DEADLINE_SEC: Final = 2.0  # of milliseconds that it takes: the host may be very busy
_AT_ONCE: Final = 8
# `stack` is for SYS_ADMIN (proc_pid_stack, fs/proc/base.c), and its mode is 0400.
_CAPABILITIES: Final = (Capability.SYS_ADMIN, Capability.SYS_PTRACE, Capability.DAC_READ_SEARCH)
_MOST_BYTES: Final = 4 << 20
# wchan has no newline of its own: that of the thread before stands in front of a status.
_STATUS: Final = re.compile(r"^([\w.]*?)Name:\t(.*)\n", re.MULTILINE)
_FIELD: Final = re.compile(r"^(State|Tgid|Pid):\t(\S+).*\n", re.MULTILINE)
_DENIED: Final = re.compile(r"permission denied|not permitted", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread and its stack: a line a function, innermost first; empty while it runs.

    ``state`` is proc_pid_stat(5)'s letter, ``wchan`` the function that it sleeps in.
    """

    tid: int
    pid: int
    comm: str
    state: str
    stack: str
    wchan: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """What was found, by tid.

    ``gone`` are threads that ended; ``hanging`` those whose stack did not come in time.
    ``denied`` says that stacks may not be read.
    """

    found: Mapping[int, ThreadStack] = field(default_factory=dict)
    gone: frozenset[int] = frozenset()
    hanging: frozenset[int] = frozenset()
    denied: bool = False


async def read_stacks(
    children: Children,
    tids: Iterable[int],
    proc: str = "/proc",
    *,
    started: Callable[[], object] = lambda: None,
) -> Stacks:
    """The stacks of these threads, within 2 s if none hangs.

    ``started`` is called once the child runs that reads them.

    Raises:
        RequirementError: the child cannot be started, or an earlier one still hangs.
        OSError: likewise.
    """
    wanted = list(dict.fromkeys(tids))
    if not wanted:
        return Stacks()
    first = await _read(children, wanted, proc, started)
    if not first.hanging:
        return first
    (stuck,) = first.hanging
    behind = wanted[wanted.index(stuck) + 1 :]
    slots = asyncio.Semaphore(_AT_ONCE)

    async def read_one(tid: int) -> Stacks:
        async with slots:
            return await _read(children, [tid], proc)

    return _joined([first, *await asyncio.gather(*map(read_one, behind))])


def _joined(parts: Sequence[Stacks]) -> Stacks:
    return Stacks(
        found={tid: each for part in parts for tid, each in part.found.items()},
        gone=frozenset().union(*(part.gone for part in parts)),
        hanging=frozenset().union(*(part.hanging for part in parts)),
        denied=any(part.denied for part in parts),
    )


async def _read(
    children: Children,
    tids: list[int],
    proc: str,
    started: Callable[[], object] = lambda: None,
) -> Stacks:
    """Read in this order, as far as the first one that hangs."""
    files = [f"{proc}/{tid}/{file}" for tid in tids for file in ("status", "stack", "wchan")]
    printed = io.BytesIO()
    end = await children.run(
        ("cat", *files),
        printed,
        timeout_sec=_DEADLINE_SEC,
        max_bytes=_MOST_BYTES,
        raw=True,
        capabilities=_CAPABILITIES,
        started=started,
    )
    found = _parsed(printed.getvalue().decode("utf-8", "replace"))
    reached, hanging = tids, frozenset[int]()
    if end.timed_out:
        # The status of the one that hangs is the last that was printed.
        stuck = next(reversed(found), tids[0])
        found.pop(stuck, None)
        reached, hanging = tids[: tids.index(stuck)], frozenset([stuck])
    gone = frozenset(tid for tid in reached if tid not in found)
    return Stacks(found, gone, hanging, denied=bool(_DENIED.search(end.error)))


def _parsed(text: str) -> dict[int, ThreadStack]:
    """The threads in what cat printed, in its order."""
    found = {}
    starts = list(_STATUS.finditer(text))
    ends = [*((start.start(), start[1]) for start in starts[1:]), (len(text), None)]
    # Nothing at all was printed where every thread had ended.
    for start, (end, wchan) in zip(starts, ends[: len(starts)], strict=True):
        part = text[start.end() : end]
        fields = dict(_FIELD.findall(part))
        if fields.keys() == {"State", "Tgid", "Pid"}:
            lines = part.splitlines(keepends=True)
            found[int(fields["Pid"])] = ThreadStack(
                tid=int(fields["Pid"]),
                pid=int(fields["Tgid"]),
                comm=start[2],
                state=fields["State"],
                stack="".join(line for line in lines if line.startswith("[<")),
                wchan=part.rpartition("\n")[2] if wchan is None else wchan,
            )
    return found
