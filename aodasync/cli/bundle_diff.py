# SPDX-License-Identifier: MIT
"""``aodasync bundles diff``: two bundles side by side, by command, by process and by phase."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from aodasync.bundle.archive import load_recording
from aodasync.cli.json_text import json_text
from aodasync.detection.long_waits import may_wait
from aodasync.errors import ExitCode
from aodasync.events import NS_PER_MS, REQUEST, EventArray, latency_ns
from aodasync.host.printable import printable
from aodasync.smb.commands import command_name

__all__ = ["compare", "diff"]

_MOST: Final = 20
_MOST_GROUPS: Final = 200
_MOST_CHARACTERS: Final = 200
_PHASES: Final = (
    ("send", "issued_ns", "sent_ns"),
    ("wire", "sent_ns", "received_ns"),
    ("client", "received_ns", "released_ns"),
)

Spans = npt.NDArray[np.float64]


def diff(first: Path, second: Path, *, as_json: bool, out: TextIO) -> int:
    """Print how latencies of the first bundle and of the second differ.

    Raises:
        RecordingError: one of them cannot be read.
        NotPermittedError: one may not be read.
    """
    recordings = [load_recording(path) for path in (first, second)]
    found = compare(recordings[0][1], recordings[1][1])
    names = {
        side: str(manifest.get("bundle") or path.name)[:_MOST_CHARACTERS]
        for side, path, (manifest, _) in zip("ab", (first, second), recordings, strict=True)
    }
    if as_json:
        out.write(json_text({"schema_version": 1, **names, **found}))
        return ExitCode.OK
    out.writelines(f"{side.upper()}  {printable(name)}\n" for side, name in names.items())
    for kind, lines in found.items():
        out.write("\n")
        out.writelines(f"{printable(line)}\n" for line in _table(kind, lines))
    return ExitCode.OK


def compare(first: EventArray, second: EventArray) -> dict[str, list[dict[str, Any]]]:
    """By ``command``, ``process`` and ``phase``: counts, p50 and p99 in ms of both. Pure.

    Left out are requests that may wait for ever. Most added time comes first: the difference of
    the medians, as often as the second has it. A process is known by its name.
    """
    both = [rows[(rows["kind"] == REQUEST) & ~may_wait(rows)] for rows in (first, second)]
    both = [rows[(rows["issued_ns"] > 0) & (rows["released_ns"] > 0)] for rows in both]
    return {
        "command": _compared(*(_by(rows, "command") for rows in both)),
        "process": _compared(*(_by(rows, "comm") for rows in both)),
        "phase": _compared(*map(_by_phase, both)),
    }


def _by(rows: EventArray, column: str) -> dict[str, Spans]:
    """Latencies in ms by the column's values: of those that took most time together."""
    spans = latency_ns(rows) / NS_PER_MS
    values, inverse = np.unique(rows[column], return_inverse=True)
    sums = np.bincount(inverse.ravel(), spans, len(values))
    most = np.argsort(-sums, kind="stable")[:_MOST_GROUPS]
    return {_name(values[place].item()): spans[inverse.ravel() == place] for place in most}


def _name(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else command_name(value)


def _by_phase(rows: EventArray) -> dict[str, Spans]:
    found = {}
    for name, start, end in _PHASES:
        begin_ns = np.where(rows[start] > 0, rows[start], rows["issued_ns"])
        known = (rows[end] > 0) & (rows[end] >= begin_ns)
        if known.any():
            found[name] = (rows[end] - begin_ns)[known] / NS_PER_MS
    return found


def _compared(first: Mapping[str, Spans], second: Mapping[str, Spans]) -> list[dict[str, Any]]:
    found = []
    for name in dict.fromkeys([*first, *second]):
        a, b = _figures(first.get(name)), _figures(second.get(name))
        times = round(b["p50_ms"] / a["p50_ms"], 2) if a["p50_ms"] and b["p50_ms"] else None
        found.append({"name": name, "a": a, "b": b, "times": times})
    return sorted(found, key=_added_ms, reverse=True)


def _added_ms(entry: Mapping[str, Any]) -> float:
    grown = (entry["b"]["p50_ms"] or 0.0) - (entry["a"]["p50_ms"] or 0.0)
    return float(grown * entry["b"]["requests"])


def _figures(spans: Spans | None) -> dict[str, Any]:
    if spans is None or not len(spans):
        return {"requests": 0, "p50_ms": None, "p99_ms": None, "max_ms": None}
    p50, p99, worst = (round(float(value), 3) for value in np.percentile(spans, (50, 99, 100)))
    return {"requests": len(spans), "p50_ms": p50, "p99_ms": p99, "max_ms": worst}


def _table(kind: str, lines: list[dict[str, Any]]) -> list[str]:
    heads = ("A", "B", "A p50 ms", "B p50 ms", "times", "A p99 ms", "B p99 ms")
    rows = [(kind.upper(), *heads)]
    for line in lines[:_MOST]:
        a, b = line["a"], line["b"]
        counts = (f"{a['requests']:,}", f"{b['requests']:,}")
        medians = (_ms(a["p50_ms"]), _ms(b["p50_ms"]), _ms(line["times"]))
        rows.append((line["name"], *counts, *medians, _ms(a["p99_ms"]), _ms(b["p99_ms"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
