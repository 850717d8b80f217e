# SPDX-License-Identifier: MIT
"""Whose stacks are collected, out of a /proc of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aodasync.actions import stacks
from aodasync.actions.stacks import collect_sleepers, collect_stacks
from aodasync.process.children import Children
from tests.unit.process.test_stacks import write_task

pytestmark = pytest.mark.anyio


async def test_whose_stacks_are_shown(tmp_path: Path) -> None:
    """Those in flight, in D state, and cifsd at once; sleepers in cifs later; others never."""
    waits = "[<0>] wait_for_response+0x8b/0xe0 [cifs]\n"
    write_task(tmp_path, 42, "reader", "R", "[<0>] running\n")
    write_task(tmp_path, 43, "wri) ter", "D", waits)
    write_task(tmp_path, 44, "cifsd", "S", "[<0>] cifs_readv_from_socket [cifs]\n", parent=2)
    write_task(tmp_path, 45, "ls", "S", "[<0>] smb2_reconnect+0x1/0x2 [cifs]\n")
    write_task(tmp_path, 46, "bash", "S", "[<0>] do_wait\n")
    write_task(tmp_path, 47, "kworker/0:1", "I", "[<0>] worker_thread\n", parent=2)
    write_task(tmp_path, 49, "kswapd", "S", "[<0>] kswapd [cifs]\n", parent=2)
    (tmp_path / "48").mkdir()  # it ended between two reads
    (tmp_path / "self").symlink_to(tmp_path / "46")
    text, error = await collect_stacks(Children(), frozenset({42}), str(tmp_path))
    assert error == ""
    assert text.startswith("7 tasks, 3 shown\n")
    later = await collect_sleepers(Children(), frozenset({42}), str(tmp_path))
    assert later.startswith("\n2 of 2 sleepers read, 1 in cifs\n")
    title = "==> pid 43 tid 43 wri) ter state D wchan wait_for.constprop.0 <==\n"
    assert title + waits in text
    for name in ("reader", "cifsd"):
        assert name in text
        assert name not in later
    assert "smb2_reconnect" in later
    for name in ("do_wait", "worker_thread", "kswapd"):
        assert name not in text + later


async def test_every_thread_of_a_process_is_looked_at(tmp_path: Path) -> None:
    """One of several waits, and not the first; or the status is too long to tell of others."""
    several = {42: "Threads:\t2\n", 50: f"Groups:\t{'1 ' * 4096}\nThreads:\t2\n"}
    for pid, rest in several.items():
        write_task(tmp_path, pid + 1, "second", "D", f"[<0>] here_{pid + 1}\n")
        write_task(tmp_path, pid, "first", "S", "[<0>] do_wait\n")
        status = tmp_path / str(pid) / "status"
        status.write_text(status.read_text().replace("Threads:\t1\n", rest))
        (tmp_path / str(pid + 1)).rename(tmp_path / f"thread-{pid + 1}")
        (tmp_path / str(pid) / "task" / str(pid + 1)).symlink_to(tmp_path / f"thread-{pid + 1}")
    tasks = stacks._choose(frozenset(), str(tmp_path))
    assert (tasks.seen, sorted(tasks.certain), sorted(tasks.sleepers)) == (4, [43, 51], [42, 50])


async def test_a_kernel_without_stacks_says_so_and_shows_where_tasks_sleep(tmp_path: Path) -> None:
    """Without CONFIG_STACKTRACE there is still wchan, and the entry says why no more."""
    write_task(tmp_path, 43, "writer", "D", None)
    text, error = await collect_stacks(Children(), frozenset(), str(tmp_path))
    assert "writer state D wchan wait_for.constprop.0" in text
    assert error == "this kernel shows no stacks (CONFIG_STACKTRACE)"


async def test_stacks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with thousands of blocked tasks gives so many, those in flight before others."""
    monkeypatch.setattr(stacks, "_MOST_STACKS", 3)
    for pid in range(10, 20):
        write_task(tmp_path, pid, "x", "D", f"[<0>] here_{pid}\n")
    text, _ = await collect_stacks(Children(), frozenset({19}), str(tmp_path))
    assert text.startswith("10 tasks, 3 shown")
    assert text.count("==>") == 3
    assert "here_19" in text


async def test_one_that_hangs_is_named(tmp_path: Path) -> None:
    """The entry's error and the text say which stack is missing, and why."""
    for pid in range(10, 20):
        write_task(tmp_path, pid, "x", "D", f"[<0>] here_{pid}\n")
    (tmp_path / "13/stack").unlink()
    os.mkfifo(tmp_path / "13/stack")
    text, error = await collect_stacks(Children(), frozenset(), str(tmp_path))
    assert error == "1 stacks not read: a process holds a lock, as in an exec that waits"
    assert all((f"here_{pid}" in text) == (pid != 13) for pid in range(10, 20))
    assert "==> tid 13 <==\nnot read: " in text
