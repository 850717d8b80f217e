# SPDX-License-Identifier: MIT
"""Measure all, print the table, and say by the exit code whether a bound is broken."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import (
    bundles,
    hotpath,
    idle,
    kernel_side,
    latency,
    load,
    machine,
    memory,
    overhead,
    peers,
    scale,
    soak,
    startup,
)
from tests.bench.figures import Figure, broken, render
from tests.bench.rigging import open_bench

_SECTIONS = {
    "The machine": machine.measure,
    "Start-up": startup.measure,
    "Memory": memory.measure,
    "Latency of decision": latency.measure,
    "From decision to evidence": bundles.measure,
    "An idle agent": idle.measure,
    "Processor time of the agent": load.measure,
    "Path of an event": hotpath.measure,
    "A flood of events": soak.measure,
    "Programs in the kernel": kernel_side.measure,
    "Scale": scale.measure,
}
_PEERS = {"Beside the others": peers.measure}
_PRIORITY = -20
_AUTOGROUP = Path("/proc/self/autogroup")


@contextmanager
def _precedence() -> Iterator[None]:
    """What else runs on this machine shall not be measured.

    Between sessions the scheduler goes by the niceness of their groups alone, where it has
    groups (sched(7), "The autogroup feature").
    """
    os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    if not _AUTOGROUP.exists():
        yield
        return
    before = _AUTOGROUP.read_text().split()[-1]
    _AUTOGROUP.write_text(str(_PRIORITY))
    try:
        yield
    finally:
        _AUTOGROUP.write_text(before)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also what a user would run instead")
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="write the table into it, broken bounds included",
    )
    arguments = parser.parse_args()
    if arguments.readme and not arguments.peers:
        parser.error("--readme needs --peers: the table shows them")
    return arguments


def main() -> int:
    """Returns 1 when a bound is broken, 77 without root."""
    arguments = _arguments()
    if os.geteuid() != 0:
        print("the bench loads BPF programs: run it as root", file=sys.stderr)
        return 77
    begun_sec = time.monotonic()
    kernel, python = os.uname().release, sys.version.split()[0]
    executable = Path(sys.executable).resolve()
    print(f"kernel {kernel}, Python {python}, {os.cpu_count()} CPUs, nice {_PRIORITY}")
    print(f"{executable}; the packages run the agent under /usr/bin/python3")
    print("without a client: BPF_PROG_TEST_RUN runs the byte code; nothing is attached\n")
    sections = _SECTIONS | _PEERS if arguments.peers else _SECTIONS
    measured: list[Figure] = []
    with _precedence(), open_bench() as bench:
        for title, measure in sections.items():
            figures = list(measure(bench))
            measured += figures
            print(render([(title, figures)]), flush=True)
    print(f"{time.monotonic() - begun_sec:.0f} s; load of the machine: {os.getloadavg()[0]:.1f}")
    if arguments.readme:
        host = f"Linux {'.'.join(kernel.split('.')[:2])}, Python {python}, {os.cpu_count()} CPUs"
        text = arguments.readme.read_text(encoding="utf-8")
        arguments.readme.write_text(overhead.rewritten(text, measured, host), encoding="utf-8")
    over = broken(measured)
    for figure in over:
        print(f"BROKEN: {figure.name}: {figure.value:.3f} {figure.unit}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
