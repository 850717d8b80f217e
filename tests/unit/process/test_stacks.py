# SPDX-License-Identifier: MIT
"""Stacks are read by real children, here of a /proc of the test's own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aodasync.process.children import Children
from aodasync.process.stacks import ThreadStack, read_stacks

pytestmark = pytest.mark.anyio

_WAITS = "[<0>] wait_for_response+0x8b/0xe0 [cifs]\n[<0>] compound_send_recv+0x1/0x2 [cifs]\n"


def write_task(
    proc: Path, pid: int, name: str, state: str, stack: str | None, *, parent: int = 1
) -> None:
    """A process of one thread, as /proc shows it under its number and as its own thread."""
    (proc / str(pid) / "task").mkdir(parents=True)
    (proc / str(pid) / "task" / str(pid)).symlink_to(proc / str(pid))
    (proc / str(pid) / "status").write_text(
        f"Name:\t{name}\nUmask:\t0022\nState:\t{state} (x)\nTgid:\t{pid}\nNgid:\t0\n"
        f"Pid:\t{pid}\nPPid:\t{parent}\nThreads:\t1\nnonvoluntary_ctxt_switches:\t0\n"
        "x86_Thread_features:\t\n"
    )
    (proc / str(pid) / "wchan").write_text("wait_for.constprop.0")
    if stack is not None:
        (proc / str(pid) / "stack").write_text(stack)


async def test_what_is_found_of_each_thread(tmp_path: Path) -> None:
    """Whatever it is called; a running one has no stack, and one that ended is gone."""
    write_task(tmp_path, 43, "wri) Name:\tter", "D", _WAITS)
    write_task(tmp_path, 7, "x", "R", "")
    stacks = await read_stacks(Children(), [43, 8, 7, 43], str(tmp_path))
    where = "wait_for.constprop.0"
    assert list(stacks.found.values()) == [
        ThreadStack(43, 43, "wri) Name:\tter", "D", _WAITS, where),
        ThreadStack(7, 7, "x", "R", "", where),
    ]
    assert (set(stacks.gone), set(stacks.hanging), stacks.denied) == ({8}, set(), False)


async def test_threads_that_have_all_ended_are_gone(tmp_path: Path) -> None:
    """The child prints nothing then."""
    stacks = await read_stacks(Children(), [8, 9], str(tmp_path))
    assert (stacks.found, set(stacks.gone), set(stacks.hanging)) == ({}, {8, 9}, set())


async def test_no_thread_is_no_child() -> None:
    """Nothing is started for nothing."""
    assert (await read_stacks(Children(), [], "/nonexistent")).found == {}


async def test_those_that_hang_cost_their_own_stacks_alone(tmp_path: Path) -> None:
    """What was read before one is kept, and those behind it are read one by one."""
    for pid in range(10, 20):
        write_task(tmp_path, pid, "x", "D", f"[<0>] here_{pid}\n")
    for pid in 13, 17:
        (tmp_path / str(pid) / "stack").unlink()
        os.mkfifo(tmp_path / str(pid) / "stack")  # its reader waits for a writer
    begun_sec = time.monotonic()
    stacks = await read_stacks(Children(), range(9, 20), str(tmp_path))
    assert time.monotonic() - begun_sec < 12
    assert (set(stacks.gone), set(stacks.hanging)) == ({9}, {13, 17})
    read = {pid: f"[<0>] here_{pid}\n" for pid in range(10, 20) if pid not in (13, 17)}
    assert {tid: each.stack for tid, each in stacks.found.items()} == read


async def test_this_process_has_a_stack() -> None:
    """On the host that the test runs on: number and state are there."""
    stacks = await read_stacks(Children(), [os.getpid()])
    found = stacks.found[os.getpid()]
    assert (found.tid, found.pid) == (os.getpid(), os.getpid())
    assert found.state in "RS"
