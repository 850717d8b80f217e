# SPDX-License-Identifier: MIT
"""What a user of bcc would write, in a process of the distribution's Python: see the peers.

Run as a script, with its end of a Unix socket: it compiles and loads ``stock_bcc.c`` as bcc's
own tools do, hands its programs over for others to run, and reads its ring when it is told to.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAMS = ("ordinary", "enter", "done")


class Tool:
    """One callback a record, as in every tool of bcc that has a ring buffer."""

    def __init__(self, text: str, flags: list[str], thresholds_ns: Mapping[int, int]) -> None:
        from bcc import BPF  # noqa: PLC0415  # it is the distribution's, which the venv has not

        bpf = BPF(text=text, cflags=flags)
        kinds = (BPF.SOCKET_FILTER, BPF.RAW_TRACEPOINT, BPF.RAW_TRACEPOINT)
        named = zip(PROGRAMS, kinds, strict=True)
        self.descriptors = [bpf.load_func(name, kind).fd for name, kind in named]
        self._bpf = bpf
        self._thresholds_ns = thresholds_ns
        self._records = self._slow = 0
        bpf["events"].open_ring_buffer(self._take)

    def _take(self, _context: object, data: Any, _size: int) -> None:
        event = self._bpf["events"].event(data)
        self._records += 1
        took_ns = event.released_ns - event.issued_ns
        if event.status or took_ns >= self._thresholds_ns[event.command]:
            self._slow += 1

    def consume(self) -> dict[str, int]:
        """Read all that is there; returns ns, records, and those over their thresholds."""
        self._records = self._slow = 0
        begun_ns = time.perf_counter_ns()
        self._bpf.ring_buffer_consume()
        took_ns = time.perf_counter_ns() - begun_ns
        return {"ns": took_ns, "records": self._records, "slow": self._slow}


def main() -> None:
    """Serve whoever holds the other end, until it is closed."""
    with socket.socket(fileno=int(sys.argv[1])) as end, end.makefile("rw") as lines:
        order = json.loads(lines.readline())
        os.environ["BCC_KERNEL_SOURCE"] = order["include"]
        text = Path(__file__).with_suffix(".c").read_text(encoding="ascii")
        thresholds_ns = {int(code): ns for code, ns in order["thresholds_ns"].items()}
        tool = Tool(text, order["flags"], thresholds_ns)
        socket.send_fds(end, [b"\n"], tool.descriptors)
        while lines.readline():
            print(json.dumps(tool.consume()), file=lines, flush=True)


if __name__ == "__main__":
    main()
