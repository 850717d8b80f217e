# SPDX-License-Identifier: MIT
"""``aodasync bundles events``: the requests of a bundle, for those without numpy."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from aodasync.bundle.archive import load_events
from aodasync.bundle.event_records import FIELDS, records
from aodasync.errors import ExitCode, UsageError
from aodasync.events import NS_PER_MS, latency_ns
from aodasync.host.printable import printable
from aodasync.report.clock import clock_of

__all__ = ["events"]

_WIDTHS = {"time": 27, "command": 15, "latency_ms": 10, "wire_ms": 10, "client_ms": 9, "status": 24}


def events(path: Path, *, slower_ms: float, as_csv: bool, as_json: bool, out: TextIO) -> int:
    """Print the requests and troubles in the order of their ends: a line each.

    As text, as CSV with a line of names, or as JSON, an object a line. ``slower_ms`` leaves
    only requests of that latency or more.

    Raises:
        RecordingError: the bundle cannot be read.
        NotPermittedError: it may not be read.
        UsageError: both formats are asked for.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json are two formats", hint="aodasync bundles events --help")
    manifest, rows, files = load_events(path)
    if slower_ms:
        rows = rows[latency_ns(rows) >= round(slower_ms * NS_PER_MS)]
    clock = clock_of(manifest)
    found = records(rows, manifest, clock.offset_ns if clock else 0, files)
    if as_csv:
        _print_csv(found, out)
    elif as_json:
        out.writelines(f"{json.dumps(record)}\n" for record in found)
    else:
        out.write(_line(dict(zip(FIELDS, FIELDS, strict=True))))
        out.writelines(map(_line, found))
    return ExitCode.OK


def _print_csv(found: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "flags": " ".join(record["flags"])} for record in found)


def _line(record: Mapping[str, Any]) -> str:
    shown = {**record, "command": (record["command"] or record["kind"]).removeprefix("SMB2_")}
    cells = []
    for name, width in _WIDTHS.items():
        value = shown[name]
        text = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
        cells.append(text.rjust(width) if name.endswith("_ms") else text.ljust(width))
    place = "/".join(filter(None, (record["share"] or record["server"], record["file"])))
    return printable(f"{' '.join(cells)} {record['comm']} {record['tgid']} {place}") + "\n"
