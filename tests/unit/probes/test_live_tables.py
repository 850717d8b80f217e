# SPDX-License-Identifier: MIT
"""The tables that the kernel writes while they are read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pytest

from aodasync.errors import BpfError
from aodasync.evidence.recorder import FlightRecorder
from aodasync.probes.in_flight_table import InFlightTable
from aodasync.probes.interface import Probe, ProbePlan
from aodasync.probes.kernel_text import KernelText
from aodasync.probes.live_source import LiveEvidence
from aodasync.probes.operation_table import OperationTable
from aodasync.probes.share_table import TREE, TREE_KEY, ShareTable
from aodasync.probes.shared import IN_FLIGHT_BLOCKS, IN_FLIGHT_MAX, MAX_OPERATIONS
from aodasync.probes.slots import BLOCK, OPERATION_SLOT

# Stands for the kernel side: takes slots and frees them, on and on, as fast as it can.
_FLIPPING: Final = """
import mmap, os, sys
import numpy as np
memory = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
end = int(sys.argv[3])
firsts = np.frombuffer(memory, np.uint64)[: end // 8 : int(sys.argv[2]) // 8]
marks = np.frombuffer(memory, np.uint8)[end:]
print("going", flush=True)
while True:
    firsts[:] = 2
    marks[:] = 1
    firsts[:] = 0
"""
_LOOKS: Final = 300
_PATIENCE_SEC: Final = 60  # for the other process to be seen at work


def _lengths(read: Callable[[], Sized]) -> set[int]:
    """How many rows looks find: so many looks, and more until two of them differ."""
    found = set[int]()
    until_sec = time.monotonic() + _PATIENCE_SEC
    looks = 0
    while looks < _LOOKS or (len(found) < 2 and time.monotonic() < until_sec):
        found.add(len(read()))
        looks += 1
    return found


@contextmanager
def _busy(path: Path, size_bytes: int, stride_bytes: int, marks: int = 0) -> Iterator[int]:
    path.write_bytes(bytes(size_bytes + marks))
    descriptor = os.open(path, os.O_RDWR)
    other = subprocess.Popen(
        [sys.executable, "-c", _FLIPPING, str(path), str(stride_bytes), str(size_bytes)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "going\n"
        yield descriptor
    finally:
        other.kill()
        other.communicate()
        os.close(descriptor)


def test_requests_come_and_go_while_the_table_is_read(tmp_path: Path) -> None:
    """No look raises, whatever changes under it."""
    page = BLOCK.itemsize
    with _busy(tmp_path / "slots", page * IN_FLIGHT_BLOCKS, page, marks=page) as slots:
        table = InFlightTable(slots, None)
        found = _lengths(lambda: table.read(now_ns=10**9))
        table.close()
    assert found <= set(range(IN_FLIGHT_MAX + 1))
    assert len(found) > 1


def test_operations_come_and_go_while_the_table_is_read(tmp_path: Path) -> None:
    """No look raises, whatever changes under it."""
    size = OPERATION_SLOT.itemsize * MAX_OPERATIONS
    slot_bytes = OPERATION_SLOT.itemsize
    with _busy(tmp_path / "slots", size, slot_bytes, marks=slot_bytes) as slots:
        table = OperationTable(slots, KernelText(None).at)
        found = _lengths(lambda: table.read(now_ns=1))
        table.close()
    assert len(found) > 1


def test_a_request_whose_slot_changes_hands_while_it_is_copied_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIDs, then rows, then MIDs again, with a barrier in each gap: here the slot changes."""
    blocks = np.memmap(tmp_path / "slots", BLOCK, "w+", shape=IN_FLIGHT_BLOCKS + 1)
    blocks[-1:].view(np.uint8)[1] = 1
    mids = blocks["mids"][1]
    mids[:3] = 64, 128, 192
    blocks["rows"]["issued_ns"][1, :3] = 1, 2, 3
    at = iter([0, 1])

    def other_cpu() -> None:
        mids[next(at)] = 256

    monkeypatch.setattr("aodasync.probes.in_flight_table.memory_barrier", lambda: other_cpu)
    with (tmp_path / "slots").open("r+b") as slots:
        table = InFlightTable(slots.fileno(), None)
    assert table.read(now_ns=10)["issued_ns"].tolist() == [3]
    assert next(at, None) is None
    table.close()


def test_a_request_that_comes_as_a_mark_is_taken_back_is_seen_by_the_next_look(
    tmp_path: Path,
) -> None:
    """It saw the old mark and set none; from then on its block is marked again."""
    blocks = np.memmap(tmp_path / "slots", BLOCK, "w+", shape=IN_FLIGHT_BLOCKS + 1)
    marks = blocks[-1:].view(np.uint8)[:IN_FLIGHT_BLOCKS]
    marks[[3, 511]] = 1
    with (tmp_path / "slots").open("r+b") as slots:
        table = InFlightTable(slots.fileno(), None)
    assert table.is_empty(0)
    assert not marks.any()
    blocks["mids"][511, 31], blocks["rows"]["issued_ns"][511, 31] = 64, 7
    assert table.read(now_ns=10)["issued_ns"].tolist() == [7]
    assert np.flatnonzero(marks).tolist() == [511]
    blocks["mids"][511, 31] = 0
    assert [table.is_empty(0), table.is_empty(0)] == [True, True]
    blocks["mids"][3, 0] = 64
    assert table.is_empty(0)  # nobody marked it, nor was a mark taken back
    marks[3] = 1
    assert not table.is_empty(0)
    table.close()


def test_an_operation_that_ends_while_it_is_copied_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row mixes it with what takes its slot next, whatever a machine reorders."""
    slots = np.memmap(tmp_path / "slots", OPERATION_SLOT, "w+", shape=MAX_OPERATIONS + 1)
    slots[-1:].view(np.uint8)[0] = 1
    slots["started_ns"][:3] = 1, 2, 3
    after = iter([0, 7])

    def other_cpu() -> None:
        slots["started_ns"][:2] = 0, next(after)

    monkeypatch.setattr("aodasync.probes.operation_table.memory_barrier", lambda: other_cpu)
    with (tmp_path / "slots").open("r+b") as file:
        table = OperationTable(file.fileno(), KernelText(None).at)
    assert table.read(now_ns=10)["started_ns"].tolist() == [3]
    assert next(after, None) is None
    table.close()


class _HalfReadable:
    """A probe of which one table cannot be read."""

    plan = ProbePlan("half", "test", (), (), {})

    def __init__(self) -> None:
        self.tables = {"shares": self._refuse, "losses": lambda: {"ring_full": 2}}

    def _refuse(self) -> dict[Any, str]:
        raise BpfError("lookup_batch", 12)


def test_a_table_that_cannot_be_read_costs_its_own_content_alone() -> None:
    """It is empty and its error is kept by its name; the others and the facts are there."""
    evidence = LiveEvidence(FlightRecorder(10))
    assert evidence.snapshot("shares").shares == {}
    evidence.probe = cast("Probe", _HalfReadable())
    now = evidence.snapshot()
    assert (now.shares, now.losses) == ({}, {"ring_full": 2, "bpf_reads": 1})
    assert list(now.errors) == ["shares"]
    assert now.facts["probe"]["name"] == "half"
    assert evidence.snapshot("losses").errors == {}
    assert evidence.snapshot("losses").facts == {}


def test_new_connections_are_walked_and_the_others_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, a read walks 64 of those that were walked before, oldest first."""
    walked: list[int] = []

    def run(_program_fd: int, arguments: Sequence[int]) -> int:
        walked.append(arguments[1])
        return 0

    monkeypatch.setattr("aodasync.probes.share_table.bpf.run", run)
    monkeypatch.setattr(
        "aodasync.probes.share_table.MapScanner.scan",
        lambda _self: (np.empty(0, TREE_KEY), np.empty(0, TREE)),
    )
    with (tmp_path / "walker").open("wb") as walker:
        table = ShareTable(-1, walker.fileno())
        servers = {number: 0xFFFF_0000 + number for number in range(200)}
        table.read(servers)
        assert walked == list(range(200))
        del walked[:], servers[3]
        table.read(servers | {500: 1})
        assert walked == [0, 1, 2, *range(4, 65), 500]
        del walked[:]
        table.read(servers)
        assert walked == list(range(65, 129))
