# SPDX-License-Identifier: MIT
"""What BPF programs cost, by the kernel's own count (kernel.bpf_stats_enabled)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import struct
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aodasync.probes.preparation import prepare
from aodasync.probes.program_loader import load

__all__ = ["EMPTY", "Runs", "a_request", "counted", "empty_programs", "ids", "least", "runs"]

EMPTY = "empty_"
_TYPES: Final = ("tracing", "raw_tracepoint")
_RETURN_0 = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Runs:
    """How often a program ran, and for how long in all."""

    count: int = 0
    total_ns: int = 0

    def since(self, before: Runs) -> Runs:
        """What came after ``before``."""
        return Runs(self.count - before.count, self.total_ns - before.total_ns)


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Let the kernel count; that in itself costs some 40 ns a run."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text("0")


def _loaded() -> list[dict[str, Any]]:
    done = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
    return [each for each in json.loads(done.stdout) if each["type"] in _TYPES]


def ids() -> frozenset[int]:
    """Every tracing program that is loaded now."""
    return frozenset(program["id"] for program in _loaded())


def runs(of: Collection[int] | None = None) -> dict[str, Runs]:
    """Every loaded tracing program (``of`` these ids) by name.

    Those of one name, as they are attached twice, are taken together.
    """
    found: dict[str, Runs] = {}
    for program in _loaded():
        if of is None or program["id"] in of:
            known = found.get(program["name"], Runs())
            count, total_ns = program.get("run_cnt", 0), program.get("run_time_ns", 0)
            found[program["name"]] = Runs(known.count + count, known.total_ns + total_ns)
    return found


def a_request(before: Mapping[str, Runs], after: Mapping[str, Runs]) -> dict[str, float]:
    """Nanoseconds a request in each program, between two counts."""
    passed = {name: now.since(before.get(name, Runs())) for name, now in after.items()}
    requests = passed["request_release"].count
    return {name: run.total_ns / requests for name, run in passed.items()}


def least(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each program the least of all parts of equal work.

    Whoever runs when the host takes the processor away has that in its time.
    """
    return {name: min(part[name] for part in parts) for name in parts[0]}


@contextlib.contextmanager
def empty_programs() -> Iterator[None]:
    """Three programs that do nothing, where the agent attaches its own three."""
    prepared = asyncio.run(prepare(cache_dir=Path("/var/cache/aodasync")))
    places = {program.role: program for program in prepared.programs}
    empty = [
        dataclasses.replace(places[role], name=f"{EMPTY}{role}"[:15], code=_RETURN_0)
        for role in ("release", "received", "alloc")
    ]
    loaded = load(empty, {}, prepared.btf_object)
    try:
        if loaded.failed or len(loaded.links) != len(empty):
            raise RuntimeError(f"not attached: {loaded.attachments}")
        yield
    finally:
        loaded.close()
