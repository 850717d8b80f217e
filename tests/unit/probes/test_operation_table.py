# SPDX-License-Identifier: MIT
"""What an operation waits for, by its thread's stack; the stacks were seen on 6.12."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aodasync.events import OperationArray, WaitsFor
from aodasync.probes.operation_table import OperationTable, wait_of
from aodasync.probes.shared import MAX_OPERATIONS, OPERATION_BLOCK
from aodasync.probes.slots import OPERATION_SLOT

SECOND = 1_000_000_000


def stack(*functions: str, module: str = "[cifs]") -> str:
    """As /proc/TID/stack prints it."""
    ends = ["do_syscall_64+0x82/0x190", "entry_SYSCALL_64_after_hwframe+0x76/0x7e"]
    inside = [f"{name}+0x1a5/0x4f0 {module}".strip() for name in functions]
    return "".join(f"[<0>] {line}\n" for line in [*inside, *ends])


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (("cifs_wait_for_server_reconnect", "smb2_reconnect", "SMB2_open"), WaitsFor.RECONNECT),
        (("smb2_reconnect.part.0", "SMB2_flush", "cifs_strict_fsync"), WaitsFor.RECONNECT),
        (("wait_for_free_credits", "cifs_call_async", "smb2_async_writev"), WaitsFor.CREDITS),
        (("smb2_wait_mtu_credits", "cifs_prepare_read"), WaitsFor.CREDITS),
        (("wait_for_response", "compound_send_recv", "SMB2_flush"), WaitsFor.RESPONSE),
        (("folio_wait_bit_common", "cifs_strict_fsync"), WaitsFor.UNKNOWN),
        (("cifs_lock_add_if", "cifs_setlk", "cifs_lock"), WaitsFor.UNKNOWN),
        (("__mutex_lock.constprop.0", "cifs_get_writable_file"), WaitsFor.CLIENT),
        (("rwsem_down_write_slowpath", "cifs_strict_writev"), WaitsFor.CLIENT),
        (("rwsem_down_read_slowpath", "smb2_reconnect"), WaitsFor.RECONNECT),
    ],
)
def test_the_innermost_known_function_tells(functions: tuple[str, ...], expected: WaitsFor) -> None:
    """Whatever suffix the compiler gave it; another wait inside the client is not known."""
    assert wait_of(stack(*functions)) == expected


def test_who_reconnects_waits_for_the_response() -> None:
    """The thread that negotiates for all others has a request in flight."""
    assert wait_of(stack("wait_for_response", "SMB2_negotiate", "smb2_reconnect")) == (
        WaitsFor.RESPONSE
    )


def test_a_built_in_client_is_known_by_its_functions() -> None:
    """Its lines name no module."""
    assert wait_of(stack("folio_wait_bit", "cifs_setattr", module="")) == WaitsFor.UNKNOWN
    assert wait_of(stack("smb2_reconnect", module="")) == WaitsFor.RECONNECT


def test_outside_of_the_client_there_is_no_operation() -> None:
    """A thread that sleeps elsewhere; but a running one has no stack to be read."""
    assert wait_of(stack("hrtimer_nanosleep", module="")) is None
    assert wait_of("") == WaitsFor.UNKNOWN


class Slots:
    """The table over a file instead of a map, and the stacks of its threads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "slots"
        self._file.write_bytes(bytes((MAX_OPERATIONS + 1) * OPERATION_SLOT.itemsize))
        slots = np.memmap(self._file, OPERATION_SLOT, "r+")
        self.rows: npt.NDArray[Any] = slots[:-1]
        self.marks = slots[-1:].view(np.uint8)
        self.stacks: dict[int, str | None] = {}
        self.looked: list[int] = []
        descriptor = os.open(self._file, os.O_RDWR)
        self.table = OperationTable(descriptor, self.text_at)
        os.close(descriptor)

    def text_at(self, address: int, most: int) -> bytes:
        """Functions have their names at 4096, and from then on."""
        self.looked.append(address)
        return f"cifs_function_{address - 4096}".encode()[:most]

    def put(self, slot: int, *, started_ns: int, pid: int, stack: str | None = None) -> None:
        self.rows[slot]["started_ns"], self.rows[slot]["pid"] = started_ns, pid
        self.rows[slot]["xid"] = slot
        self.marks[slot // OPERATION_BLOCK] = 1
        self.stacks[pid] = stack

    def read(self, now_ns: int) -> OperationArray:
        """Look, have the stacks read that are wanted, and look again."""
        self.table.read(now_ns)
        wanted = self.table.wanted_stacks()
        self.table.set_stacks(now_ns, {thread: self.stacks[thread] for thread in wanted})
        return self.table.read(now_ns)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    """Slots that are all free."""
    return Slots(tmp_path)


def test_operations_come_oldest_first_with_what_they_wait_for(slots: Slots) -> None:
    """The stacks of those a quarter of a second old are read, the others are young."""
    slots.put(7, started_ns=9 * SECOND, pid=1, stack=stack("smb2_reconnect"))
    slots.put(3, started_ns=2 * SECOND, pid=2, stack=stack("wait_for_free_credits"))
    slots.put(5, started_ns=10 * SECOND - SECOND // 4 + 1, pid=3, stack=stack("smb2_reconnect"))
    assert not slots.table.read(10 * SECOND)["waits_for"].any()
    assert slots.table.wanted_stacks() == (2, 1)
    rows = slots.read(10 * SECOND)
    assert rows["xid"].tolist() == [3, 7, 5]
    assert rows["waits_for"].tolist() == [WaitsFor.CREDITS, WaitsFor.RECONNECT, WaitsFor.UNKNOWN]


def test_a_function_s_name_is_read_once(slots: Slots) -> None:
    """However often, and by however many operations, it is called."""
    for slot, function in enumerate((4096, 5000, 4096)):
        slots.put(slot, started_ns=9 * SECOND, pid=1)
        slots.rows[slot]["function"] = function
    for _ in range(2):
        names = slots.table.read(9 * SECOND)["function"].tolist()
        assert names == [b"cifs_function_0", b"cifs_function_904", b"cifs_function_0"]
    assert sorted(slots.looked) == [4096, 5000]


def test_what_is_no_more_frees_its_slot(slots: Slots) -> None:
    """A thread that is gone, and one that is elsewhere; not one whose stack was not read."""
    slots.put(0, started_ns=SECOND, pid=1, stack=None)
    slots.put(1, started_ns=SECOND, pid=2, stack=stack("hrtimer_nanosleep", module=""))
    slots.put(2, started_ns=SECOND, pid=3, stack="")
    assert slots.read(9 * SECOND)["xid"].tolist() == [2]
    assert np.flatnonzero(slots.rows["started_ns"]).tolist() == [2]


def test_a_stack_says_nothing_of_an_operation_that_began_after_it(slots: Slots) -> None:
    """Its thread was elsewhere then, and is inside by now: the operation stays."""
    slots.put(0, started_ns=SECOND, pid=1, stack=stack("hrtimer_nanosleep", module=""))
    assert slots.read(2 * SECOND)["xid"].tolist() == []
    slots.put(1, started_ns=2 * SECOND - 1, pid=1, stack=stack("smb2_reconnect"))
    assert slots.table.read(3 * SECOND)["xid"].tolist() == [1]
    assert slots.table.wanted_stacks() == (1,)
    assert slots.read(3 * SECOND)["waits_for"].tolist() == [WaitsFor.RECONNECT]


def test_a_stack_is_wanted_once_for_all_operations_of_a_thread(slots: Slots) -> None:
    """However many operations it has: parts of one read, or such whose end was not seen."""
    slots.put(0, started_ns=SECOND, pid=1, stack=stack("smb2_reconnect"))
    for number in range(1, 200):
        slots.put(number, started_ns=SECOND + number, pid=1, stack=stack("smb2_reconnect"))
    slots.put(200, started_ns=2 * SECOND, pid=2, stack=stack("wait_for_response"))
    waits = slots.read(9 * SECOND)["waits_for"].tolist()
    assert waits == [WaitsFor.RECONNECT] * 200 + [WaitsFor.RESPONSE]


def test_a_stack_is_wanted_again_after_some_seconds(slots: Slots) -> None:
    """Two where nothing was known, else five; what is no more is not remembered."""
    slots.put(0, started_ns=SECOND, pid=1, stack=stack("smb2_reconnect"))
    slots.put(1, started_ns=SECOND, pid=2, stack="")
    slots.read(10 * SECOND)
    wanted = []
    for second in range(10, 16):
        slots.table.read(second * SECOND)
        wanted.append(slots.table.wanted_stacks())
    assert wanted == [(), (), (2,), (2,), (2,), (1, 2)]
    slots.rows["started_ns"] = 0
    slots.table.read(16 * SECOND)
    assert (slots.table.wanted_stacks(), slots.table._stacks) == ((), {})


def test_only_so_many_stacks_are_wanted_at_a_time(slots: Slots) -> None:
    """Those of the oldest 64; then it is the others' turn."""
    for number in range(100):
        waiting = stack("wait_for_free_credits")
        slots.put(number, started_ns=SECOND + number, pid=1000 + number, stack=waiting)
    waits = slots.read(9 * SECOND)["waits_for"]
    assert waits.tolist() == [WaitsFor.CREDITS] * 64 + [WaitsFor.UNKNOWN] * 36
    assert slots.read(9 * SECOND)["waits_for"].tolist() == [WaitsFor.CREDITS] * 100


def test_a_short_name_of_a_thread_after_a_long_one_is_whole(slots: Slots) -> None:
    """Some kernels write no more than its end: what stands behind it is another thread's."""
    slots.put(5, started_ns=SECOND, pid=1, stack=None)
    slots.rows[5]["comm"] = b"cp\0rker/0:2"
    assert slots.table.read(2 * SECOND)["comm"].tolist() == [b"cp"]
