# SPDX-License-Identifier: MIT
"""What the bundle of a fault must hold: every action accounted for, and the fault in its files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import product
from justified import Evidence
from product import check, lab

# Without those that ask the mount itself or walk all of /proc: under emulation they take seconds
# of the two processors, and would be a fault of their own.
ACTIONS = (
    "sockets",
    "stacks",
    "pressure",
    "dmesg",
    "journalctl",
    "syslogs",
    "debugdata",
    "stats",
    "mounts",
)
HUNG_MS = 2000
_BEFORE_NS = 1_000_000_000


def strayed() -> int:
    """Segments on the client's sockets to the server that were lost on their way so far.

    Its own are sent again; of the server's, those behind a lost one come out of order.
    """
    return _strayed(lab("ss -tin dport = :445"))


def _strayed(text: str) -> int:
    return sum(map(int, re.findall(r" (?:retrans:\d+/|rcv_ooopack:)(\d+)", text)))


def check_bundle(fault: str, evidence: Evidence, begun_ns: int) -> None:
    """Every action is there or says why not, and the record begins before the fault."""
    entries = {entry["name"]: entry for entry in evidence.manifest["actions"]}
    files = {name.rsplit("/", 1)[-1] for name in product.bundle_list(evidence.path)}
    unexplained = [
        name
        for name in ACTIONS
        if name not in entries or not (entries[name]["error"] or entries[name]["file"] in files)
    ]
    reasons = {name: entry["error"] for name, entry in entries.items() if entry["error"]}
    check(
        f"{fault}: each action is in its bundle, or why not",
        not unexplained,
        unexplained or reasons,
    )
    issued = evidence.rows["issued_ns"]
    before_ns = begun_ns - int(issued[issued > 0].min(initial=begun_ns))
    check(
        f"{fault}: the record begins before it", before_ns > _BEFORE_NS, f"{before_ns / 1e9:.0f} s"
    )


def _lost(evidence: Evidence, before: int) -> tuple[bool, str]:
    now = _strayed(_text(evidence, "sockets.log"))
    return now > before, f"{before} before, {now} in sockets.log"


def _stuck(evidence: Evidence, _before: int) -> tuple[bool, str]:
    """A process other than cifsd whose stack leads through the module."""
    tasks = _text(evidence, "stacks.log").split("==> ")[1:]
    inside = [task for task in tasks if "[cifs]" in task and " cifsd " not in task.splitlines()[0]]
    waiting = [task for task in inside if "wait" in task]
    shown = waiting[0].splitlines()[:3] if waiting else f"{len(tasks)} stacks"
    return bool(waiting), str(shown)


def _ages(evidence: Evidence, _before: int) -> tuple[bool, str]:
    old = [r for r in evidence.in_flight if r["age_ms"] >= HUNG_MS and r["command"]]
    ages = sorted((r["age_ms"], r["command"], r["comm"]) for r in old)
    hung = evidence.anomaly["count"] - len(evidence.anomaly["stalls"])
    return len(old) >= hung > 0, f"{len(old)} old, {ages[-1:]}"


def _text(evidence: Evidence, name: str) -> str:
    return product.bundle_file(evidence.path, name).decode("utf-8", "replace")


SHOWN: Mapping[str, Callable[[Evidence, int], tuple[bool, str]]] = {
    "sockets.log shows the loss": _lost,
    "stacks.log shows a process that waits in cifs": _stuck,
    "inflight.json shows the hung requests with their ages": _ages,
}
"""What a fault may have to show: given its bundle, and :func:`strayed` before it."""
