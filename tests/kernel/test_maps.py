# SPDX-License-Identifier: MIT
"""Scans of real maps, and what the programs cost."""

from __future__ import annotations

import mmap
import os
import struct
import time

import numpy as np
import pytest

from aodasync.errors import BpfError
from aodasync.events import EVENT, EventArray, MidState
from aodasync.probes.bpf import ProgramType, load_program
from aodasync.probes.maps import MapType, create_map, lookup, update
from aodasync.probes.records import RECORD
from aodasync.probes.shared import IN_FLIGHT_BLOCKS, IN_FLIGHT_MAX, MapNumber
from aodasync.probes.slots import BLOCK
from tests.kernel.fake_client import FakeClient
from tests.kernel.program_stats import ProgramStats
from tests.kernel.rig import Rig


def fill(rig: Rig, count: int) -> int:
    """So many requests in flight, in an order of their own; the first one's issued_ns."""
    row = np.zeros(1, EVENT)
    first_ns = time.monotonic_ns()
    for number in np.random.default_rng(count).permutation(count).tolist():
        row["issued_ns"] = first_ns + number
        take_slot(rig, number, row)
    return first_ns


def take_slot(rig: Rig, slot: int, row: EventArray) -> None:
    """Have a request of a MID of its own in that slot."""
    set_slot(rig, slot, 0xFFFF888000000000 + 256 * slot, row)


def set_slot(rig: Rig, slot: int, mid: int, row: EventArray | None = None) -> None:
    """Write the MID that holds a slot, and its request."""
    memory = mmap.mmap(rig.maps[MapNumber.IN_FLIGHT], BLOCK.itemsize * (IN_FLIGHT_BLOCKS + 1))
    slots = BLOCK["mids"].shape[0]
    at = BLOCK.itemsize * (slot // slots)
    if row is not None:
        rows_at = at + 8 * slots + RECORD.itemsize * (slot % slots)
        memory[rows_at : rows_at + row.nbytes] = row.tobytes()
    struct.pack_into("Q", memory, at + 8 * (slot % slots), mid)
    memory[BLOCK.itemsize * IN_FLIGHT_BLOCKS + slot // slots] = 1
    memory.close()


@pytest.mark.parametrize("count", [0, 1, 997, 8009, IN_FLIGHT_MAX])
def test_every_request_in_flight_is_listed_once(rig: Rig, count: int) -> None:
    """Up to a full map, sorted by age."""
    first_ns = fill(rig, count)
    expected = list(range(first_ns, first_ns + count))
    assert rig.probe.in_flight()["issued_ns"].tolist() == expected


def test_a_full_map_is_counted(rig: Rig) -> None:
    """A request that cannot be followed is a loss with a name."""
    fill(rig, IN_FLIGHT_MAX)
    client = FakeClient(rig)
    client.alloc(0, client.server(0, 1, "s", "10.0.0.1"), 5)
    assert rig.probe.losses()["map_full"] == 1


def test_a_scan_of_1000_requests_takes_under_a_millisecond(rig: Rig) -> None:
    """The best of several, as the machine may be busy."""
    fill(rig, 1000)
    times = []
    for _ in range(50):
        begun = time.thread_time()
        rig.probe.in_flight()
        times.append(time.thread_time() - begun)
    print(f"scan of 1000: best {1e3 * min(times):.2f} ms, median {1e3 * sorted(times)[25]:.2f} ms")
    assert min(times) < 1e-3


def test_a_missing_key_is_none_and_a_bad_map_an_error() -> None:
    """ENOENT is an answer, everything else an error with its errno."""
    fd = create_map(MapType.HASH, name="t", key_size=8, value_size=8, max_entries=4)
    key = struct.pack("Q", 1)
    assert lookup(fd, key, 8) is None
    update(fd, key, struct.pack("Q", 42))
    assert lookup(fd, key, 8) == struct.pack("Q", 42)
    os.close(fd)
    with pytest.raises(BpfError) as caught:
        lookup(fd, key, 8)
    assert caught.value.errno == 9


def test_a_refused_program_tells_the_verifiers_reason() -> None:
    """The end of its log is in the error."""
    with pytest.raises(BpfError, match="R0 !read_ok") as caught:
        load_program(ProgramType.RAW_TRACEPOINT, struct.pack("<BBhi", 0x95, 0, 0, 0), "bad")
    assert caught.value.errno == 13


def test_what_a_request_costs(rig: Rig) -> None:
    """Figures for the record: time in each program, as the kernel counts it."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    with ProgramStats(rig.programs) as stats:
        for _ in range(3000):
            mid = client.alloc(0, server, 5)
            client.receive(mid)
            client.take_response(mid)
            client.release(mid)
        rig.probe.read(10_000)
        costs = stats.mean_ns()
    total = sum(costs.values())
    print("ns per request:", {name: round(ns) for name, ns in costs.items()}, f"sum {total:.0f}")
    programs = {"create_begun", "request_alloc", "request_received", "request_release"}
    assert set(costs) == programs
    assert total < 20_000


def test_a_closed_probe_still_tells_what_it_lost(rig: Rig) -> None:
    """Nothing is read any more; losses and connections stay known for the last words."""
    client = FakeClient(rig)
    server = client.server(0, 1, "files.example", "10.0.0.1")
    client.release(client.alloc(0, server, 5), MidState.RECEIVED)
    assert rig.probe.connections()[1].server == "files.example"
    rig.probe.close()
    rig.probe.close()
    assert rig.probe.losses()["status_unseen"] == 1
    assert rig.probe.connections()[1].server == "files.example"
    assert len(rig.probe.in_flight()) == 0
    assert len(rig.probe.read(10)) == 0
