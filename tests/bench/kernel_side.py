# SPDX-License-Identifier: MIT
"""What the programs cost a request, by the kernel's own count, beside programs that do nothing.

The byte code is the one that is attached to the client elsewhere; BPF_PROG_TEST_RUN calls it
on look-alike data as often as the client would. The count itself costs some 20 ns a run, in
empty programs as in ours.
"""

from __future__ import annotations

import os
import statistics
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from aodasync.events import MidState
from aodasync.probes.bpf import ProgramType, load_program, run
from aodasync.smb.commands import COMMAND_CODES
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.kernel.fake_client import FakeClient
from tests.kernel.program_stats import ProgramStats
from tests.kernel.rig import Rig

__all__ = ["measure"]

_ROUNDS: Final = 150
_FILES: Final = 8  # a round, in each of which a file is opened, written and closed
_COMMANDS: Final = ("SMB2_CREATE", "SMB2_WRITE", "SMB2_CLOSE")
_EMPTY: Final = ("empty_release", "empty_received", "empty_alloc")
_RETURN_0: Final = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
_FUNCTION_AT: Final = 4096  # in the arena

_MOST_EMPTY = 8.0


class _Client:
    """A rig whose client opens, writes and closes files, and what its programs took."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._client = FakeClient(rig)
        self._server = self._client.server(0, 1, "files.example", "10.9.9.1")
        self._xid = 0
        self._empty = {
            name: load_program(ProgramType.RAW_TRACEPOINT, _RETURN_0, name) for name in _EMPTY
        }
        self._stats = ProgramStats({**rig.programs, **self._empty})
        self.rounds: list[dict[str, float]] = []
        rig.arena.write(_FUNCTION_AT, "64s", b"cifs_revalidate_dentry_attr")

    def work(self) -> None:
        """A round; a run that the machine interrupts counts in its round alone."""
        with self._stats:
            before = self._stats.totals()
            for _ in range(_FILES):
                self._operation()
                for command in _COMMANDS:
                    self._request(COMMAND_CODES[command])
            after = self._stats.totals()
        requests = _FILES * len(_COMMANDS)
        self._rig.probe.read(requests)
        self.rounds.append({name: (after[name][0] - before[name][0]) / requests for name in after})

    def ns(self) -> dict[str, float]:
        """Of each program that ran, ns a request: medians of all rounds."""
        medians = {
            name: statistics.median(taken[name] for taken in self.rounds) for name in self.rounds[0]
        }
        return {name: ns for name, ns in medians.items() if ns}

    def close(self) -> None:
        """Unload the empty programs."""
        for fd in self._empty.values():
            os.close(fd)

    def _request(self, command: int) -> None:
        client = self._client
        mid = client.alloc(0, self._server, command, path="directory\\file.txt")
        client.receive_interim(mid, is_pending=False)
        client.receive(mid, file_id=(mid.message_id, 7))
        client.receive_again(mid)
        client.take_response(mid)
        client.release(mid, MidState.READY)
        for program in self._empty.values():
            run(program, [0] * 12)

    def _operation(self) -> None:
        self._xid += 1
        self._rig.run("smb3_enter", self._xid, self._rig.arena.base + _FUNCTION_AT)
        self._rig.run("operation_ended", self._xid)


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield what each program takes, and the sums: with names and ids of files, and without."""
    with ExitStack() as stack:
        clients = {}
        for files in (True, False):
            clients[files] = _Client(stack.enter_context(bench.rig(file_names=files)))
            stack.callback(clients[files].close)
        for number in range(_ROUNDS):
            for files in (True, False) if number % 2 else (False, True):
                clients[files].work()
    found = {files: client.ns() for files, client in clients.items()}
    for name, ns in sorted(found[True].items()):
        note = f"without files {found[False].get(name, 0):.1f}"
        yield Figure(f"a request in {name}", ns, "ns", note=note)
    ours, empty = zip(*(_sums(found[files]) for files in (False, True)), strict=True)
    yield Figure(
        "BPF a request without files, in three empty programs", ours[0] / empty[0], "x", _MOST_EMPTY
    )
    yield Figure(
        "BPF a request with files, in three empty programs", ours[1] / empty[1], "x", _MOST_EMPTY
    )
    yield Figure("BPF a request with files, in what it is without", ours[1] / ours[0], "x")


def _sums(ns: dict[str, float]) -> tuple[float, float]:
    """Of ours, and of the empty ones."""
    empty = sum(ns[name] for name in _EMPTY)
    return sum(ns.values()) - empty, empty
