# SPDX-License-Identifier: MIT
"""The tables that the kernel writes while they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aodasync.events import EVENT
from aodasync.operations import OPERATION
from aodasync.probes.inflight import InFlightTable
from aodasync.probes.operations import OperationTable
from aodasync.probes.shared import IN_FLIGHT_MAX, MAX_OPERATIONS

# Stands for the kernel side: takes slots and frees them, on and on, as fast as it can.
_FLIPPING: Final = """
import mmap, os, sys
import numpy as np
memory = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
firsts = np.frombuffer(memory, np.uint64)[:: int(sys.argv[2])]
print("going", flush=True)
while True:
    firsts[:] = 2
    firsts[:] = 0
"""
_LOOKS: Final = 300


@contextmanager
def _busy(path: Path, size_bytes: int, stride_bytes: int) -> Iterator[int]:
    path.write_bytes(bytes(size_bytes))
    descriptor = os.open(path, os.O_RDWR)
    other = subprocess.Popen(
        [sys.executable, "-c", _FLIPPING, str(path), str(stride_bytes // 8)],
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
    rows = tmp_path / "rows"
    rows.write_bytes(bytes(EVENT.itemsize * IN_FLIGHT_MAX))
    with _busy(tmp_path / "mids", 8 * IN_FLIGHT_MAX, 8) as mids, rows.open("r+b") as file:
        table = InFlightTable(mids, file.fileno(), None)
        found = {len(table.read(now_ns=10**9)) for _ in range(_LOOKS)}
        table.close()
    assert found <= set(range(IN_FLIGHT_MAX + 1))
    assert len(found) > 1


def test_operations_come_and_go_while_the_table_is_read(tmp_path: Path) -> None:
    """No look raises, whatever changes under it."""
    size = OPERATION.itemsize * MAX_OPERATIONS
    with _busy(tmp_path / "slots", size, OPERATION.itemsize) as slots:
        table = OperationTable(slots, tmp_path)
        found = {len(table.read(now_ns=1)) for _ in range(_LOOKS)}
        table.close()
    assert len(found) > 1
