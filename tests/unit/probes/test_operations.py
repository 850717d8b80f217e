# SPDX-License-Identifier: MIT
"""What an operation waits for, by its thread's stack; the stacks were seen on 6.12."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from aodasync.operations import OPERATION, OperationArray, WaitsFor
from aodasync.probes.operations import OperationTable, wait_of
from aodasync.probes.shared import MAX_OPERATIONS

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
    """The table over a file instead of a map, and a /proc of its own."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.proc.mkdir()
        self._file = folder / "slots"
        self._file.write_bytes(bytes(MAX_OPERATIONS * OPERATION.itemsize))
        self.rows: OperationArray = np.memmap(self._file, OPERATION, "r+")
        descriptor = os.open(self._file, os.O_RDWR)
        self.table = OperationTable(descriptor, self.proc)
        os.close(descriptor)

    def put(self, slot: int, *, started_ns: int, pid: int, stack: str | None = None) -> None:
        self.rows[slot]["started_ns"], self.rows[slot]["pid"] = started_ns, pid
        self.rows[slot]["xid"] = slot
        if stack is not None:
            (self.proc / str(pid)).mkdir()
            (self.proc / str(pid) / "stack").write_text(stack)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    """Slots that are all free."""
    return Slots(tmp_path)


def test_operations_come_oldest_first_with_what_they_wait_for(slots: Slots) -> None:
    """Those a quarter of a second old are looked at, the others are young."""
    slots.put(7, started_ns=9 * SECOND, pid=1, stack=stack("smb2_reconnect"))
    slots.put(3, started_ns=2 * SECOND, pid=2, stack=stack("wait_for_free_credits"))
    slots.put(5, started_ns=10 * SECOND - SECOND // 4 + 1, pid=3, stack=stack("smb2_reconnect"))
    rows = slots.table.read(10 * SECOND)
    assert rows["xid"].tolist() == [3, 7, 5]
    assert rows["waits_for"].tolist() == [WaitsFor.CREDITS, WaitsFor.RECONNECT, WaitsFor.UNKNOWN]
    assert not slots.rows["waits_for"].any()


def test_what_is_no_more_frees_its_slot(slots: Slots) -> None:
    """A thread that is gone, and one that is elsewhere; not one whose stack nobody may read."""
    slots.put(0, started_ns=SECOND, pid=1)
    slots.put(1, started_ns=SECOND, pid=2, stack=stack("hrtimer_nanosleep", module=""))
    slots.put(2, started_ns=SECOND, pid=3)
    (slots.proc / "3").mkdir()
    assert slots.table.read(9 * SECOND)["xid"].tolist() == [2]
    assert np.flatnonzero(slots.rows["started_ns"]).tolist() == [2]


def test_a_thread_is_looked_at_once(slots: Slots) -> None:
    """However many operations it has: parts of one read, or such whose end was not seen."""
    slots.put(0, started_ns=SECOND, pid=1, stack=stack("smb2_reconnect"))
    for number in range(1, 200):
        slots.put(number, started_ns=SECOND + number, pid=1)
    slots.put(200, started_ns=2 * SECOND, pid=2, stack=stack("wait_for_response"))
    waits = slots.table.read(9 * SECOND)["waits_for"].tolist()
    assert waits == [WaitsFor.RECONNECT] * 200 + [WaitsFor.RESPONSE]


def test_only_so_many_threads_are_looked_at(slots: Slots) -> None:
    """The oldest 64; a crowd must not hold the loop up."""
    for number in range(100):
        waiting = stack("wait_for_free_credits")
        slots.put(number, started_ns=SECOND + number, pid=1000 + number, stack=waiting)
    waits = slots.table.read(9 * SECOND)["waits_for"]
    assert waits.tolist() == [WaitsFor.CREDITS] * 64 + [WaitsFor.UNKNOWN] * 36
