# SPDX-License-Identifier: MIT
"""Evidence that decays: taken first, bounded, and readable whatever the kernel lacks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aodasync.actions import BUILTIN, Action, ActionContext, ActionResult, Collected, Cost, select
from aodasync.actions.compared import sections
from aodasync.actions.netstat import _difference, parse_counters
from aodasync.actions.running import Run, run_actions
from aodasync.actions.stats import changed_lines
from aodasync.errors import RequirementError
from aodasync.process.children import Children

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """What actions run with, writing into the test's directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    context = ActionContext(0, 5.0, 400_000, descriptor, "", Children(), (1445, 445), (42,))
    yield Run(asyncio.Semaphore(2), asyncio.Lock(), context, lambda _result: None)
    os.close(descriptor)


async def test_no_two_actions_write_the_same_file() -> None:
    """Each has its own place in a bundle."""
    assert len({action.file for action in BUILTIN.values()}) == len(BUILTIN)


async def test_volatile_ones_come_first_in_their_order() -> None:
    """Sockets, stacks, pressure, then tables and logs; DebugData last, however they are named."""
    chosen = [action.name for action in select(sorted(BUILTIN), ())]
    assert chosen == list(BUILTIN)
    assert chosen[:3] == ["sockets", "stacks", "pressure"]
    assert chosen[-1] == "debugdata"


async def test_volatile_ones_wait_for_no_slot_and_others_for_them(run: Run) -> None:
    """With all slots taken by other bundles the volatile ones run; logs begin after them."""
    seen: list[str] = []

    def action(name: str, cost: Cost, seconds: float) -> Action:
        async def collect(_: ActionContext) -> Collected:
            await asyncio.sleep(seconds)
            seen.append(name)
            return Collected()

        return Action(name, f"{name}.log", cost, collect)

    slots = asyncio.Semaphore(0)
    marks: list[int] = []
    busy = replace(run, slots=slots, volatile_done=lambda: marks.append(len(seen)))
    actions = (action("a", Cost.VOLATILE, 0.02), action("b", Cost.VOLATILE, 0.01))
    log = action("log", Cost.LOG, 0)
    running = asyncio.create_task(run_actions((*actions, log), busy))
    await asyncio.sleep(0.1)
    assert seen == ["b", "a"]
    assert marks == [2]
    slots.release()
    await running
    assert seen == ["b", "a", "log"]


async def test_a_slow_volatile_one_does_not_keep_the_logs_waiting(run: Run) -> None:
    """After a quarter of a second the rest begins; the mark is set when the slow one ended."""
    order: list[str] = []

    async def slow(_: ActionContext) -> Collected:
        await asyncio.sleep(0.5)
        order.append("slow")
        return Collected()

    async def log(_: ActionContext) -> Collected:
        order.append("log")
        await asyncio.sleep(0.5)
        order.append("logged")
        return Collected()

    marked = replace(run, volatile_done=lambda: order.append("mark"))
    actions = (Action("s", "s", Cost.VOLATILE, slow), Action("l", "l", Cost.LOG, log))
    await run_actions(actions, marked)
    assert order == ["log", "slow", "mark", "logged"]


async def test_sockets_are_those_of_the_connections_ports(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is asked for 445 and for every port a connection was seen on, without a shell."""
    asked: list[tuple[str, ...]] = []

    async def note(argv: tuple[str, ...], *_: object, **__: object) -> None:
        asked.append(argv)
        raise RequirementError("enough")

    monkeypatch.setattr(run.context.children, "run", note)
    await run_actions((BUILTIN["sockets"],), run)
    assert asked == [("ss", "-tinmoe", "( dport = :445 or dport = :1445 )")]


async def test_stacks_are_read_by_a_child(run: Run, tmp_path: Path) -> None:
    """That of a thread which waits is in the file, whatever state it is in."""
    waits = replace(run, context=replace(run.context, waiting=(os.getpid(),)))
    (result,) = await run_actions((BUILTIN["stacks"],), waits)
    assert (result.error, result.path) == ("", "/proc/*/task/*/stack")
    assert "path" in result.as_manifest()
    assert f"pid {os.getpid()} tid {os.getpid()} " in (tmp_path / "stacks.log").read_text()


async def test_this_hosts_pressure_netstat_and_versions(run: Run, tmp_path: Path) -> None:
    """On the host the tests run on, what reads /proc has its file, and entries are whole."""
    actions = select(["pressure", "netstat", "versions"], ())
    results = {result.name: result for result in await run_actions(actions, run)}
    assert "MemAvailable" in (tmp_path / "pressure.log").read_text()
    assert results["netstat"].ok
    parts = sections((tmp_path / "netstat.log").read_text())
    assert list(parts) == ["before", "after", "difference"]
    assert parse_counters(parts["before"])["Tcp.ActiveOpens"] >= 0
    versions = (tmp_path / "versions.log").read_text()
    assert os.uname().release in versions
    assert "==> mount.cifs -V <==" in versions
    for name, result in results.items():
        assert result.bytes == (tmp_path / f"{name}.log").stat().st_size


@pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")
async def test_tables_of_a_host_without_cifs_are_entries(run: Run, tmp_path: Path) -> None:
    """Where cifs is not loaded, stats, open_files, dfscache and module fail by themselves."""
    done: list[ActionResult] = []
    actions = select(["stats", "open_files", "dfscache", "module"], ())
    results = await run_actions(actions, replace(run, done=done.append))
    assert all("No such file" in result.error for result in results)
    assert sorted(r.name for r in done) == sorted(a.name for a in actions)
    assert list(sections((tmp_path / "cifsstats.log").read_text())) == ["before"]


async def test_second_readings_come_after_all_else_but_debugdata(run: Run) -> None:
    """What compares two moments spans the whole collection."""
    seen: list[str] = []

    def note(name: str, error: str = "") -> Collected:
        seen.append(name)
        return Collected(error=error)

    def action(name: str, cost: Cost) -> Action:
        async def collect(_: ActionContext) -> Collected:
            return note(name)

        async def finish(_: ActionContext) -> Collected:
            return note(f"{name} again", "second")

        second = finish if cost == Cost.TABLE else None
        return Action(name, f"{name}.log", cost, collect, finish=second)

    actions = (action("t", Cost.TABLE), action("l", Cost.LOG), action("g", Cost.GUARDED))
    results = await run_actions(actions, run)
    assert seen == ["t", "l", "t again", "g"]
    assert [result.error for result in results] == ["second", "", ""]


_STATS = r"""Resources in use
CIFS Session: 1
0 session 0 share reconnects

  5		262	888		1	177
  6		262	1679		0	177
1) \\10.9.9.1\IPC$
SMBs: 7 since 2026-11-22 18:28:39 UTC
2) \\10.9.9.1\share
SMBs: 871 since 2026-11-22 18:28:39 UTC
Bytes read: 431616  Bytes written: 640000
Open files: 0 total (local), 0 open on server
"""


async def test_stats_difference_names_share_and_counter() -> None:
    """Changed counters alone, under their share, each with its step; dates are no counters."""
    after = (
        _STATS.replace("871", "880")
        .replace("0 session", "2 session")
        .replace("640000", "64")
        .replace("262	1679", "263	1700")
        .replace("2) \\", "3) \\")
        .replace("2026-11-22 18", "2027-12-23 18")
    )
    assert changed_lines(_STATS, after).splitlines() == [
        "2 (+2) session 0 share reconnects",
        "  6		263 (+1)	1700 (+21)		0	177",
        r"\\10.9.9.1\share",
        "Bytes read: 431616  Bytes written: 64 (-639936)",
    ]
    same_day = _STATS.replace("871", "880")
    assert changed_lines(_STATS, same_day).splitlines() == [
        r"\\10.9.9.1\share",
        "SMBs: 880 (+9) since 2026-11-22 18:28:39 UTC",
    ]
    assert changed_lines(_STATS, _STATS) == "nothing changed\n"
    assert changed_lines("", _STATS) == "nothing changed\n"


def _connection(requests: str, *shares: str) -> str:
    rows = "".join(f"  {row}\t\t0\t5\n" for row in requests.splitlines())
    listed = "".join(f"{n}) {share}\n" for n, share in enumerate(shares, 1))
    return (
        "Max requests in flight: 3\nTotal time spent processing by command. Time units are"
        " jiffies (250 per second)\n  SMB3 CMD\tNumber\tTotal Time\tFastest\tSlowest\n"
        f"{rows}\n{listed}"
    )


def test_a_share_that_is_cut_off_stays_the_same_share() -> None:
    """Its counters have their steps, and that it became DISCONNECTED is said, and its end."""
    before = "1) \\\\nas17\\data\nSMBs: 100\n"
    after = "1) \\\\nas17\\data\tDISCONNECTED \nSMBs: 160\n"
    assert changed_lines(before, after) == (
        "\\\\nas17\\data became DISCONNECTED\nSMBs: 160 (+60)\n"
    )
    assert changed_lines(after, before.replace("100", "160")) == (
        "\\\\nas17\\data is connected again\n"
    )
    assert changed_lines(after, after) == "nothing changed\n"


@pytest.mark.parametrize("new", [(), ("\\\\new\\share",), ("\\\\nas\\data",)])
def test_a_new_connection_has_no_difference(new: tuple[str, ...]) -> None:
    """It is listed first; the old one is known by its shares, and by being the last."""
    before = _connection("5\t\t1000\t7\n8\t\t5000\t9", "\\\\nas\\data")
    old = _connection("5\t\t1001\t7\n8\t\t5002\t9", "\\\\nas\\data")
    assert changed_lines(before, _connection("5\t\t3\t1", *new) + old).splitlines() == [
        "connection of \\\\nas\\data",
        "  5\t\t1001 (+1)\t7\t\t0\t5",
        "  8\t\t5002 (+2)\t9\t\t0\t5",
    ]


def test_a_connection_keeps_its_difference_when_a_share_comes_or_goes() -> None:
    """It is known by a share that it has before and after."""
    one = _connection("5\t\t1000\t7", "\\\\nas\\data")
    two = _connection("5\t\t1003\t7", "\\\\nas\\home", "\\\\nas\\data")
    assert "  5\t\t1003 (+3)\t7\t\t0\t5" in changed_lines(one, two).splitlines()
    fewer = one.replace("1000", "1009")
    assert "  5\t\t1009 (+6)\t7\t\t0\t5" in changed_lines(two, fewer).splitlines()


def test_a_row_of_another_length_has_no_difference() -> None:
    """Two kernels' rows, or half a row, are not compared."""
    assert changed_lines("  5\t\t1\t7\n", "  5\t\t2\t7\t3\n") == "nothing changed\n"


def test_a_connection_that_takes_the_place_of_another_has_no_difference() -> None:
    """Counts of requests only grow: where they shrank, it is not the one of before."""
    before = _connection("5\t\t1000\t7", "\\\\nas\\data")
    after = _connection("5\t\t3\t7", "\\\\nas\\data")
    assert changed_lines(before, after) == "nothing changed\n"


def test_a_counter_that_passes_the_kernels_integer_has_its_difference() -> None:
    """The kernel prints a signed number of 32 bits; what passes its limits has only grown."""
    before = _connection("5\t\t2147483640\t7\n6\t\t-6\t9", "\\\\nas\\data") + "SMBs: 2147483647\n"
    after = _connection("5\t\t-2147483646\t7\n6\t\t4\t9", "\\\\nas\\data") + "SMBs: -2147483648\n"
    assert changed_lines(before, after).splitlines() == [
        "  5\t\t-2147483646 (+10)\t7\t\t0\t5",
        "  6\t\t4 (+10)\t9\t\t0\t5",
        "\\\\nas\\data",
        "SMBs: -2147483648 (+1)",
    ]


async def test_netstat_difference_is_of_what_moved() -> None:
    """Pairs of lines become named counters; only those that moved are listed."""
    before = "Tcp: InSegs RetransSegs\nTcp: 10 3\nTcpExt: TCPTimeouts\nTcpExt: 1\nUdp: X\nUdp: 1\n"
    after = before.replace("10 3", "10 8")
    assert parse_counters(before) == {
        "Tcp.InSegs": 10,
        "Tcp.RetransSegs": 3,
        "TcpExt.TCPTimeouts": 1,
    }
    assert _difference(before, after) == "Tcp.RetransSegs: +5\n"
    assert _difference(before, before) == "nothing changed\n"
