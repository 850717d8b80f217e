# SPDX-License-Identifier: MIT
"""What the BPF programs note of an operation inside the client, on this kernel."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aodasync.events import WaitsFor
from aodasync.probes.maps import lookup, update
from aodasync.probes.preparation import METHODS, Prepared
from aodasync.probes.shared import MAX_OPERATIONS, MapNumber
from aodasync.probes.slots import OPERATION_SLOT
from aodasync.process.children import Children
from aodasync.process.stacks import read_stacks
from tests.kernel.repeated import reference, warm_ns
from tests.kernel.rig import Rig

NAME_AT = 4096
SECOND = 1_000_000_000
BOUND = 0.6  # of the reference: 112 ns where that takes 186 ns


class FakeOperations:
    """Fires the tracepoints around operations, as the client would."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._functions: dict[str, int] = {}

    def enter(self, xid: int, function: str = "cifs_open") -> None:
        """Each function has its name somewhere, for good."""
        at = NAME_AT + 64 * self._functions.setdefault(function, len(self._functions))
        self.rig.arena.write(at, "64s", function.encode())
        self.rig.run("smb3_enter", xid, self.rig.arena.base + at)

    def end(self, xid: int) -> None:
        self.rig.run("operation_ended", xid)

    def inside(self) -> list[int]:
        """The xids inside the client."""
        found: list[int] = self.rig.probe.operations()["xid"].tolist()
        return found


@pytest.fixture(params=METHODS[:2])
def client(request: pytest.FixtureRequest, make_rig: Callable[..., Rig]) -> FakeOperations:
    """A client that tells of its operations, however its requests are looked at."""
    return FakeOperations(make_rig(method=request.param))


def test_an_operation_is_noted_with_its_owner(client: FakeOperations) -> None:
    """Thread, process, name and time of the beginning, and the client's function."""
    before = time.monotonic_ns()
    client.enter(2**32 - 1, "cifs_revalidate_dentry_attr")
    (row,) = client.rig.probe.operations()
    assert before <= row["started_ns"] <= time.monotonic_ns()
    assert (row["xid"], row["function"]) == (2**32 - 1, b"cifs_revalidate_dentry_attr")
    assert (row["pid"], row["tgid"]) == (threading.get_native_id(), os.getpid())
    assert row["comm"] == Path("/proc/thread-self/comm").read_bytes().strip()
    assert row["waits_for"] == WaitsFor.UNKNOWN
    assert client.rig.probe.read(10).shape == (0,)


@pytest.mark.parametrize("name", ["x", "seven77", "eight888", "nine99999", "fifteen-letters"])
def test_the_name_of_a_thread_is_whole_at_any_length(client: FakeOperations, name: str) -> None:
    """It is loaded as two words of eight bytes, and what stands behind its end is cut off."""
    own = Path("/proc/thread-self/comm")
    before = own.read_text().rstrip("\n")
    own.write_text(name)
    try:
        client.enter(1)
    finally:
        own.write_text(before)
    slots = client.rig.maps[MapNumber.OPERATIONS]
    left = lookup(slots, struct.pack("I", 1), OPERATION_SLOT.itemsize)
    assert left is not None
    (raw,) = np.frombuffer(left, OPERATION_SLOT)["comm"].view("V16").tolist()
    assert raw == name.encode().ljust(16, b"\0")


def test_an_operation_ends(client: FakeOperations) -> None:
    """The end of what was not seen to begin, or has ended already, is fine."""
    for xid in range(5):
        client.enter(xid)
    for xid in 1, 3, 3, 77:
        client.end(xid)
    assert client.inside() == [0, 2, 4]
    assert client.rig.probe.losses()["operations_full"] == 0


def test_a_long_name_is_cut(client: FakeOperations) -> None:
    """To 31 characters; what the kernel cannot be read stays empty."""
    client.enter(1, "f" * 60)
    assert client.rig.probe.operations()["function"].tolist() == [b"f" * 31]
    client.rig.run("smb3_enter", 2, 0)
    assert client.rig.probe.operations()["function"].tolist() == [b"f" * 31, b""]


def hold(rig: Rig, slot: int, **fields: int) -> None:
    """Let an operation hold a slot."""
    row = np.zeros(1, OPERATION_SLOT)
    row["started_ns"] = time.monotonic_ns()
    row["pid"] = os.getpid()
    for name, value in fields.items():
        row[name] = value
    update(rig.maps[MapNumber.OPERATIONS], struct.pack("I", slot), row.tobytes())
    marks = b"\1" * OPERATION_SLOT.itemsize
    update(rig.maps[MapNumber.OPERATIONS], struct.pack("I", MAX_OPERATIONS), marks)


def test_operations_of_one_slot_do_not_displace_each_other(rig: Rig) -> None:
    """A fourth finds a slot of its own, a fifth is not followed, and counted."""
    client = FakeOperations(rig)
    xids = [5 + number * MAX_OPERATIONS for number in range(5)]
    for xid in xids:
        client.enter(xid)
    assert client.inside() == xids[:4]
    assert rig.probe.losses()["operations_full"] == 1
    for xid in xids[4], xids[2], xids[0], xids[3]:
        client.end(xid)
    assert client.inside() == [xids[1]]


def test_as_many_as_there_are_slots_are_followed(rig: Rig) -> None:
    """All at once; what comes then is counted, and does no harm."""
    client = FakeOperations(rig)
    first = 2**32 - 100  # the counter wraps amid them
    xids = [(first + number) % 2**32 for number in range(MAX_OPERATIONS)]
    for xid in xids:
        client.enter(xid)
    for xid in range(1000, 1007):
        client.enter(10 * MAX_OPERATIONS + xid)
    assert rig.probe.losses()["operations_full"] == 7
    assert client.inside() == xids
    for xid in xids:
        client.end(xid)
    assert client.inside() == []


def test_nothing_is_left_of_a_slots_last_operation(rig: Rig) -> None:
    """A short name after a long one, in the same place."""
    client = FakeOperations(rig)
    client.enter(5, "cifs_revalidate_dentry_attr")
    client.end(5)
    client.enter(5 + MAX_OPERATIONS, "cifs_open")
    assert rig.probe.operations()["function"].tolist() == [b"cifs_open"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps in the kernel, outside the client."""
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.send_signal(signal.SIGKILL)
    child.wait()


def test_what_is_no_more_is_forgotten(rig: Rig, sleeper: subprocess.Popen[bytes]) -> None:
    """Old operations of threads that ended, or that are elsewhere; never young ones."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    old_ns = time.monotonic_ns() - 9 * SECOND
    hold(rig, 0, xid=0, pid=gone.pid)
    hold(rig, 1, xid=1, pid=gone.pid, started_ns=old_ns)
    hold(rig, 2, xid=2, pid=sleeper.pid)
    hold(rig, 3, xid=3, pid=sleeper.pid, started_ns=old_ns)
    client = FakeOperations(rig)
    assert sorted(client.inside()) == [0, 1, 2, 3]
    wanted = rig.probe.wanted_stacks()
    assert sorted(wanted) == sorted([gone.pid, sleeper.pid])
    read_ns = time.monotonic_ns()
    stacks = asyncio.run(read_stacks(Children(), wanted))
    assert (set(stacks.found), set(stacks.gone)) == ({sleeper.pid}, {gone.pid})
    rig.probe.set_stacks(read_ns, {sleeper.pid: stacks.found[sleeper.pid].stack, gone.pid: None})
    assert sorted(client.inside()) == [0, 2]
    for slot_number in 1, 3:
        slot = struct.pack("I", slot_number)
        left = lookup(rig.maps[MapNumber.OPERATIONS], slot, OPERATION_SLOT.itemsize)
        assert left is not None
        assert np.frombuffer(left, OPERATION_SLOT)["started_ns"] == 0


def test_a_scan_is_cheap(rig: Rig) -> None:
    """It happens every second, whether there is anything or not; the best of several."""
    times = []
    for _ in range(50):
        begun = time.thread_time()
        rig.probe.operations()
        times.append(time.thread_time() - begun)
    print(f"a scan takes {1e3 * min(times):.2f} ms")
    assert min(times) < 1e-3


def test_cost(prepared: Callable[..., Prepared], rig: Rig) -> None:
    """An operation, begun and ended, stays within its bound; the best of many, when warm."""
    codes = {program.name: program.code for program in prepared("6.12").programs}
    rig.arena.write(NAME_AT, "64s", b"cifs_revalidate_dentry_attr")
    context = [7, rig.arena.base + NAME_AT]
    pair = [codes["smb3_enter"], codes["operation_ended"]]
    spent_ns, reference_ns = warm_ns([pair, [reference()]], rig.maps, context)
    print(f"an operation costs {spent_ns:.0f} ns, the reference {reference_ns:.0f} ns")
    assert spent_ns < BOUND * reference_ns
