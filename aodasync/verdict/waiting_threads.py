# SPDX-License-Identifier: MIT
"""Threads that wait inside the client and have no request in flight. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aodasync.events import NS_PER_MS, REQUEST, EventArray, OperationArray, pick
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Finding, Symptom

__all__ = ["Inside", "WaitingThread", "waiting_threads"]


@dataclass(frozen=True, slots=True)
class Inside:
    """Operations inside the client and requests in flight at ``now_ns``, oldest first."""

    operations: OperationArray
    in_flight: EventArray
    now_ns: int


@dataclass(frozen=True, slots=True)
class WaitingThread:
    """One of them; ``ns`` is since its operation began, or its last request ended."""

    comm: str
    tgid: int
    ns: int


def waiting_threads(
    finding: Finding,
    operations: OperationArray,
    rows: EventArray,
    in_flight: EventArray,
    connections: npt.NDArray[np.uint64],
    *,
    now_ns: int,
) -> list[WaitingThread]:
    """Those that wait for what the finding is about: its stalls, or else by their last request.

    That request, of ``rows``, was on one of the ``connections``. Of an anomaly of codes there
    are none, but of trouble with a connection: nobody can send then.
    """
    if finding.stalls:
        return [
            WaitingThread(each.comm, each.tgid, round(each.quiet_ms * NS_PER_MS))
            for each in finding.stalls
        ]
    if finding.codes and finding.symptom != Symptom.CONNECTION:
        return []
    busy = set(in_flight["pid"].tolist())
    theirs = is_in(rows["pid"], operations["pid"]) & (rows["kind"] == REQUEST)
    earlier = pick(rows, theirs & (rows["released_ns"] <= np.uint64(now_ns)))
    columns = (earlier[name].tolist() for name in ("pid", "connection_id", "released_ns"))
    last = {pid: (connection, ended_ns) for pid, connection, ended_ns in zip(*columns, strict=True)}
    own = set(connections.tolist())
    found: dict[int, WaitingThread] = {}
    for each in operations:
        pid = int(each["pid"])
        connection, ended_ns = last.get(pid, (0, 0))
        if connection in own and pid not in busy and pid not in found:
            comm = bytes(each["comm"]).decode("utf-8", "replace")
            waited_ns = max(0, now_ns - max(int(each["started_ns"]), ended_ns))
            found[pid] = WaitingThread(comm, int(each["tgid"]), waited_ns)
    return list(found.values())
