# SPDX-License-Identifier: MIT
"""How long BPF programs run, by the kernel's own count."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from aodasync.probes.bpf import Command, address, call

_INFO_BYTES: Final = 224
_RUN_TIME_AT: Final = 192  # struct bpf_prog_info: run_time_ns, run_cnt


class ProgramStats:
    """Counts while it is open; the count itself costs some 40 ns a run."""

    def __init__(self, programs: Mapping[str, int]) -> None:
        self._programs = programs
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = call(Command.ENABLE_STATS, struct.pack("I", 0), "cannot count run times")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def mean_ns(self) -> dict[str, float]:
        """Mean run time of the programs that ran."""
        return {name: spent_ns / runs for name, (spent_ns, runs) in self.totals().items() if runs}

    def totals(self) -> dict[str, tuple[int, int]]:
        """Run time in ns and number of runs, since each was loaded, while anybody counted."""
        totals = {}
        for name, fd in self._programs.items():
            info = ctypes.create_string_buffer(_INFO_BYTES)
            attributes = struct.pack("IIQ", fd, len(info), address(info))
            call(Command.OBJ_GET_INFO_BY_FD, attributes, "cannot query a program")
            run_time_ns, runs = struct.unpack_from("QQ", info.raw, _RUN_TIME_AT)
            totals[name] = (run_time_ns, runs)
        return totals
