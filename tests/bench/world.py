# SPDX-License-Identifier: MIT
"""A large host, made up: servers, mounts, shares, processes, and what they ask for.

What the kernel side would have is written into a rig's maps, so that the product reads it
from there as it always does.
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, EventArray, Outcome
from aodasync.host.mountinfo import Mount, parse_mountinfo
from aodasync.host.tcp_sockets import TcpSocket
from aodasync.probes.connection_table import CONNECTION
from aodasync.probes.maps import update
from aodasync.probes.records import RECORD
from aodasync.probes.shared import (
    IN_FLIGHT_BLOCKS,
    IN_FLIGHT_MAX,
    MAX_CONNECTIONS,
    MAX_OPERATIONS,
    MAX_TREES,
    OPERATION_BLOCK,
    TREE_NAME_BYTES,
    Counter,
    MapNumber,
)
from aodasync.probes.slots import BLOCK, OPERATION_SLOT
from tests.builders import MS, SECOND, tcp_socket
from tests.kernel.rig import ARENA_BYTES, Rig

__all__ = ["World"]

SERVERS: Final = 50
MOUNTS: Final = 200
SHARES: Final = 100
"""Of each server: their number grows with that of the servers."""
IN_FLIGHT: Final = 2_000
PROCESSES: Final = 10_000
RECORDED: Final = 50_000

_FIRST_PID: Final = 1_000
_WINDOW_NS: Final = 10 * SECOND
_PROGRAMS: Final = np.array([b"postgres", b"java", b"rsync", b"smbd", b"python3", b"nginx"])
_COMMANDS: Final = np.array([3, 5, 6, 8, 9, 14, 16, 17], np.uint16)
_FAILED: Final = 0xC0000022
_FUNCTION_AT: Final = 2 * ARENA_BYTES - 64  # the end of the arena
_MID_BYTES: Final = 64
_MOST_STACKS: Final = 64  # at a time, as the product reads them
_GOLDEN_RATIO: Final = 0x9E3779B97F4A7C15
_STACK: Final = """[<0>] wait_for_response+0xc2/0x110 [cifs]
[<0>] compound_send_recv+0x40c/0xd00 [cifs]
[<0>] cifs_send_recv+0x1c/0x30 [cifs]
[<0>] SMB2_open+0x190/0x8f0 [cifs]
[<0>] cifs_atomic_open+0x1b4/0x4b0 [cifs]
[<0>] path_openat+0x6f2/0x1230
[<0>] do_syscall_64+0x3a/0x90
"""


@dataclass(frozen=True)
class World:
    """This ``share`` (0 to 1) of the full size, at ``now_ns`` (CLOCK_MONOTONIC)."""

    share: float
    now_ns: int

    @property
    def servers(self) -> int:
        """How many there are; each has one connection, of the same number from 1 on."""
        return round(SERVERS * self.share)

    @property
    def processes(self) -> int:
        """How many there are, of one thread each."""
        return round(PROCESSES * self.share)

    @cached_property
    def rows(self) -> EventArray:
        """Requests that ended within the last ten seconds, oldest first."""
        drawn = np.random.default_rng(3)
        # Half of them come of one thread in fifty.
        count = round(RECORDED * self.share)
        busy = drawn.integers(0, 2, count, np.bool_)
        pids = drawn.integers(0, np.where(busy, self.processes // 50, self.processes))
        rows = self._requests(count, pids)
        rows["released_ns"] = np.sort(self.now_ns - drawn.integers(MS, _WINDOW_NS, len(rows)))
        latency_ns = (drawn.lognormal(0, 1.0, len(rows)) * MS).astype(np.uint64) + 50_000
        rows["issued_ns"] = rows["released_ns"] - latency_ns
        rows["received_ns"] = rows["released_ns"] - np.uint64(20_000)
        rows["status"][drawn.random(len(rows)) < 0.01] = _FAILED
        return rows

    def in_flight(self, age_ns: int) -> EventArray:
        """Requests that wait, the oldest of them for ``age_ns``."""
        count = round(IN_FLIGHT * self.share)
        rows = self._requests(count, np.random.default_rng(4).permutation(self.processes)[:count])
        rows["issued_ns"] = self.now_ns - age_ns + np.arange(len(rows), dtype=np.uint64)
        rows["outcome"] = int(Outcome.IN_FLIGHT)
        return rows

    def fill(self, rig: Rig, age_ns: int) -> None:
        """Let the maps hold it: connections, shares, requests in flight and their operations."""
        waiting = self.in_flight(age_ns)
        self._fill_in_flight(rig, waiting)
        operations = np.zeros(MAX_OPERATIONS + 1, OPERATION_SLOT)
        operations[-1:].view(np.uint8)[: MAX_OPERATIONS // OPERATION_BLOCK] = 1
        mine = operations[: len(waiting)]
        for name in ("pid", "tgid", "comm"):
            mine[name] = waiting[name]
        mine["started_ns"] = waiting["issued_ns"] - np.uint64(MS)
        mine["xid"] = np.arange(len(mine)) + 1
        rig.arena.write(_FUNCTION_AT, "=16s", b"cifs_open")
        mine["function"] = rig.arena.base + _FUNCTION_AT
        _write(rig, MapNumber.OPERATIONS, operations)
        for number in range(1, self.servers + 1):
            update(rig.maps[MapNumber.CONNECTIONS], struct.pack("Q", number), self._peer(number))
        counters = np.zeros(len(Counter), np.uint64)
        counters[Counter.CONNECTIONS_NOTED] = self.servers
        update(rig.maps[MapNumber.COUNTERS], struct.pack("I", 0), counters.tobytes())
        names = [(n, tree) for n in range(1, self.servers + 1) for tree in range(1, SHARES + 1)]
        for start in range(0, len(names), MAX_TREES // 2):
            for number, tree in names[start : start + MAX_TREES // 2]:
                share = f"\\\\{self._server(number)}\\share{tree}".encode()
                key = struct.pack("QQ", 1000 + number, tree)
                update(rig.maps[MapNumber.TREES], key, share.ljust(TREE_NAME_BYTES, b"\0"))
            rig.probe.shares()
        for _ in range(0, len(waiting), _MOST_STACKS):
            rig.probe.operations()
            wanted = rig.probe.wanted_stacks()
            rig.probe.set_stacks(time.monotonic_ns(), dict.fromkeys(wanted, _STACK))

    def mounts(self) -> tuple[Mount, ...]:
        """Those of all servers, and what else a host has mounted."""
        shares = [
            f"36 35 0:{40 + n} / /mnt/{n} rw - cifs"
            f" //{self._server(1 + n % self.servers)}/share{1 + n // self.servers} rw,username=u"
            for n in range(round(MOUNTS * self.share))
        ]
        found = parse_mountinfo(["22 1 8:1 / / rw - ext4 /dev/sda1 rw", *shares])
        return tuple(mount for mount in found if mount.kind == "cifs")

    def sockets(self) -> tuple[TcpSocket, ...]:
        """One of each server's connection."""
        return tuple(
            tcp_socket(cookie=n, address=f"10.0.0.{n}") for n in range(1, self.servers + 1)
        )

    def make_proc(self, folder: Path) -> None:
        """What /proc has of each process, below ``folder``."""
        for pid in range(_FIRST_PID, _FIRST_PID + self.processes):
            task = folder / str(pid) / "task" / str(pid)
            task.mkdir(parents=True)
            text = f"Name:\tjava\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t{pid}\nNgid:\t0\n"
            text += f"Pid:\t{pid}\nPPid:\t1\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nThreads:\t1\n"
            for file in (task / "status", folder / str(pid) / "status"):
                file.write_text(text)
            (folder / str(pid) / "stack").write_text(_STACK)
            (folder / str(pid) / "wchan").write_text("do_sys_poll")

    def _requests(self, count: int, pids: npt.NDArray[np.int64]) -> EventArray:
        drawn = np.random.default_rng(2)
        rows = np.zeros(count, EVENT)
        rows["connection_id"] = drawn.integers(1, self.servers + 1, count)
        rows["session_id"] = 1000 + rows["connection_id"]
        rows["tree_id"] = drawn.integers(1, SHARES + 1, count)
        rows["message_id"] = np.arange(count)
        rows["command"] = drawn.choice(_COMMANDS, count)
        rows["pid"] = _FIRST_PID + pids
        rows["tgid"] = rows["pid"]
        rows["comm"] = _PROGRAMS[rows["pid"] % len(_PROGRAMS)]
        return rows

    def _fill_in_flight(self, rig: Rig, waiting: EventArray) -> None:
        """In the slots where the kernel side looks for them, with MIDs that are in use."""
        mids, records = np.zeros(IN_FLIGHT_MAX, np.uint64), np.zeros(IN_FLIGHT_MAX, RECORD)
        for place, row in enumerate(waiting):
            at = 64 + place * _MID_BYTES
            mid = rig.arena.base + at
            rig.arena.write(at, f"={_MID_BYTES}s", b"\1" * _MID_BYTES)
            rig.arena.write(at + rig.definitions["MID_mid"], "=Q", int(row["message_id"]))
            slot = (mid * _GOLDEN_RATIO & (1 << 64) - 1) * IN_FLIGHT_MAX >> 64
            tries = 0
            while mids[(slot + tries * (tries + 1) // 2) % IN_FLIGHT_MAX]:
                tries += 1
            slot = (slot + tries * (tries + 1) // 2) % IN_FLIGHT_MAX
            mids[slot] = mid
            for name in EVENT.names or ():
                records[name][slot] = row[name]
            records["persistent_id"][slot] = records["volatile_id"][slot] = 7 + place
        blocks = np.zeros(IN_FLIGHT_BLOCKS + 1, BLOCK)
        blocks["mids"][:-1] = mids.reshape(blocks["mids"][:-1].shape)
        blocks["rows"][:-1] = records.reshape(blocks["rows"][:-1].shape)
        marks = blocks[-1:].view(np.uint8)[:IN_FLIGHT_BLOCKS]
        marks[:] = blocks["mids"][:-1].any(axis=1)
        _write(rig, MapNumber.IN_FLIGHT, blocks)

    def _server(self, number: int) -> str:
        return f"nas{number}.example.org"

    def _peer(self, number: int) -> bytes:
        row = np.zeros(1, CONNECTION)
        row["hostname"] = self._server(number).encode()
        address = struct.pack("=H", 2) + struct.pack("!H4B", 445, 10, 0, 0, number)
        row["address"] = np.void(address.ljust(28, b"\0"))
        assert self.servers <= MAX_CONNECTIONS
        return row.tobytes()


def _write(rig: Rig, number: MapNumber, rows: np.ndarray) -> None:
    with mmap.mmap(rig.maps[number], rows.nbytes) as memory:
        memory[:] = rows.tobytes()
