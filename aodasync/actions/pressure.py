# SPDX-License-Identifier: MIT
"""Whether the client itself is short of CPU, memory or I/O: PSI, load, memory, tasks."""

from __future__ import annotations

from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import read_small, section
from aodasync.host.threads import in_thread

__all__ = ["PRESSURE"]

_PSI: Final = tuple(f"/proc/pressure/{kind}" for kind in ("cpu", "io", "memory", "irq"))
_MEMINFO: Final = frozenset(
    [
        *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree"),
        *("Dirty", "Writeback", "WritebackTmp", "Slab", "SUnreclaim", "KernelStack"),
        *("CommitLimit", "Committed_AS", "NFS_Unstable", "PageTables"),
    ]
)
_STAT: Final = frozenset(["cpu", "procs_running", "procs_blocked", "ctxt"])


async def _collect(context: ActionContext) -> Collected:
    text, lacking = await in_thread(_read, abandon=True)
    truncated = await context.write(text)
    return Collected(truncated=truncated, error=f"no {', '.join(lacking)}" if lacking else "")


def _read() -> tuple[str, list[str]]:
    """Everything there is; the names of what there is not, but for the newest (irq, v6.1)."""
    parts, lacking = [], []
    for path in (*_PSI, "/proc/loadavg", "/proc/stat", "/proc/meminfo"):
        try:
            text = read_small(path)
        except OSError:
            if path != _PSI[-1]:
                lacking.append(path)
            continue
        if path == "/proc/meminfo":
            text = _lines(text, _MEMINFO)
        elif path == "/proc/stat":
            text = _lines(text, _STAT)
        parts.append(section(path, text))
    return "".join(parts), lacking


def _lines(text: str, wanted: frozenset[str]) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split(maxsplit=1)[0].rstrip(":") in wanted)


PRESSURE = Action(
    "pressure", "pressure.log", Cost.VOLATILE, _collect, path=", ".join((*_PSI, "/proc/meminfo"))
)
