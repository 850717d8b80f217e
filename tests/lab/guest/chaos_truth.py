# SPDX-License-Identifier: MIT
"""The record of a phase against the wire, where either side may miss any part.

:mod:`truth` pairs connections with TCP streams one by one. Here a NEGOTIATE may have been
dropped before the capture could see it, so generations and streams are aligned in time
order such that the most requests pair off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import truth
from product import Rows
from smb_streams import requests_of
from wire import CANCEL, Request, Wire

from aodasync.events import Kind, Outcome
from aodasync.smb.commands import COMMAND_CODES

__all__ = ["OWN_ROWS", "Compared", "compare", "on_wire", "rows_lost"]

OWN_ROWS = frozenset({"ring_full", "map_full", "unended", "overwritten"})
"""The losses that count requests; the others count lines, children, restarts."""

_ECHO = COMMAND_CODES["SMB2_ECHO"]


@dataclass(frozen=True)
class Compared:
    """``missing`` are on the wire alone; ``invented`` claim an answer that the wire lacks."""

    paired: int
    on_wire: int
    missing: Sequence[Request]
    invented: Sequence[Any]


def on_wire(capture: Path) -> Wire:
    """All requests of a capture, by their streams: tshark loses sight while packets are lost."""
    return Wire(
        [
            Request(each.stream, each.command, each.message_id, each.session_id, sent_ns=0)
            for each in requests_of(capture)
            if each.command != CANCEL
        ]
    )


def rows_lost(losses: Mapping[str, int]) -> int:
    """Requests that were counted as lost."""
    return sum(count for stage, count in losses.items() if stage in OWN_ROWS)


def compare(rows: Rows, seen: Wire) -> Compared:
    """Pair off what can be. What was never answered need not have got as far as the wire.

    An ECHO is the client's own: it may come at the very moment at which a phase begins or
    ends, and is compared between the first and the last other request alone.
    """
    requests = np.sort(rows[rows["kind"] == Kind.REQUEST], order="issued_ns")
    generations = truth.generations(
        row for row in _inner(requests, lambda row: row["command"]) if _was_sent(row)
    )
    streams = truth.streams(_inner(seen.requests, lambda request: request.command))
    keys = [{(int(row["message_id"]), int(row["command"])) for row in g} for g in generations]
    sent = [{(r.message_id, r.command) for r in stream.values()} for stream in streams]
    paired: list[set[tuple[int, int]]] = [set() for _ in generations]
    found: list[set[tuple[int, int]]] = [set() for _ in streams]
    for number, stream in _aligned(keys, sent):
        paired[number] = found[stream] = keys[number] & sent[stream]
    return Compared(
        paired=sum(len(each) for each in paired),
        on_wire=sum(len(each) for each in sent),
        missing=[
            request
            for both, stream in zip(found, streams, strict=True)
            for request in stream.values()
            if (request.message_id, request.command) not in both
        ],
        invented=[
            row
            for both, generation in zip(paired, generations, strict=True)
            for row in generation
            if row["outcome"] == Outcome.ANSWERED
            and (int(row["message_id"]), int(row["command"])) not in both
        ],
    )


def _was_sent(row: Any) -> bool:
    return bool(row["outcome"] != Outcome.SEND_FAILED)


def _inner(requests: Any, command: Any) -> Iterable[Any]:
    """Without the ECHOs at both ends."""
    others = [number for number, each in enumerate(requests) if command(each) != _ECHO]
    return requests[others[0] : others[-1] + 1] if others else ()


def _aligned(
    keys: Sequence[set[tuple[int, int]]], sent: Sequence[set[tuple[int, int]]]
) -> Iterable[tuple[int, int]]:
    """Which generation is which stream: in order, with the most common requests."""
    best = np.zeros((len(keys) + 1, len(sent) + 1), int)
    common = np.array([[len(k & s) for s in sent] for k in keys], int).reshape(len(keys), len(sent))
    for row in range(len(keys)):
        for column in range(len(sent)):
            best[row + 1, column + 1] = max(
                best[row, column + 1],
                best[row + 1, column],
                best[row, column] + common[row, column],
            )
    row, column = len(keys), len(sent)
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            yield row, column
