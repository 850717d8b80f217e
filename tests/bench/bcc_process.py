# SPDX-License-Identifier: MIT
"""A tool of stock bcc, in a process of the distribution's Python (see stock_bcc)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aodasync.probes.preparation import bpf_sources, interpreters
from aodasync.probes.shared import RING_BYTES, definitions
from aodasync.smb.commands import COMMAND_CODES
from tests.bench import stock_bcc

__all__ = ["BccProcess", "bcc_process"]

_PAGE_BYTES = 4096


class BccProcess:
    """The other process: its programs by name, and the time it takes to read its ring."""

    def __init__(self, end: socket.socket, thresholds_ns: Mapping[int, int]) -> None:
        include = str(bpf_sources())
        numbers = {
            **definitions(),
            "READ": COMMAND_CODES["SMB2_READ"],
            "WRITE": COMMAND_CODES["SMB2_WRITE"],
            "RING_PAGES": RING_BYTES // _PAGE_BYTES,
        }
        flags = [f"-I{include}", "-Wno-unused-command-line-argument"]
        flags += [f"-D{name}={value:#x}" for name, value in numbers.items()]
        order = {"include": include, "flags": flags, "thresholds_ns": thresholds_ns}
        end.sendall(f"{json.dumps(order)}\n".encode())
        _, descriptors, _, _ = socket.recv_fds(end, 1, len(stock_bcc.PROGRAMS))
        self.programs = dict(zip(stock_bcc.PROGRAMS, descriptors, strict=True))
        self._lines = end.makefile("rw")

    def consume(self, records: int) -> int:
        """Have it read so many records, none of them slow; returns ns."""
        print("consume", file=self._lines, flush=True)
        told: dict[str, int] = json.loads(self._lines.readline())
        assert (told["records"], told["slow"]) == (records, 0), told
        return told["ns"]

    def close(self) -> None:
        """Leave it."""
        self._lines.close()
        for descriptor in self.programs.values():
            os.close(descriptor)


@contextmanager
def bcc_process(thresholds_ns: Mapping[int, int]) -> Iterator[BccProcess]:
    """The process, which ends with its socket; ``thresholds_ns`` by command."""
    ours, theirs = socket.socketpair()
    argv = [interpreters()[0], "-I", str(stock_bcc.__file__), str(theirs.fileno())]
    with subprocess.Popen(argv, pass_fds=[theirs.fileno()]), ours:
        theirs.close()
        tool = BccProcess(ours, thresholds_ns)
        try:
            yield tool
        finally:
            tool.close()
