# SPDX-License-Identifier: MIT
"""``aodasync bundles events``: the requests of a bundle, for those without numpy."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TextIO

from aodasync.bundle.archive import load_events
from aodasync.bundle.event_records import FIELDS, records
from aodasync.cli.write_file import write_file
from aodasync.errors import ExitCode, UsageError
from aodasync.events import NS_PER_MS, latency_ns
from aodasync.host.local_time import iso
from aodasync.host.printable import printable
from aodasync.report.clock import clock_of

__all__ = ["events"]

_COLUMNS: Final = {
    **dict.fromkeys(FIELDS, "VARCHAR"),
    "time": "TIMESTAMP",
    **dict.fromkeys(("latency_ms", "send_ms", "wire_ms", "client_ms"), "DOUBLE"),
    **dict.fromkeys(("pid", "tgid"), "UINTEGER"),
    **dict.fromkeys(("message_id", "connection_id", "issued_ns", "released_ns"), "UBIGINT"),
}
"""DuckDB's types of the columns of a Parquet file."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

_WIDTHS = {"time": 32, "command": 15, "latency_ms": 10, "wire_ms": 10, "client_ms": 9, "status": 24}


def events(
    path: Path,
    *,
    slower_ms: float,
    as_csv: bool,
    as_json: bool,
    out: TextIO,
    parquet: Path | None = None,
) -> int:
    """Print the requests and troubles in the order of their ends: a line each.

    As text, in local time, as CSV with a line of names, or as JSON, an object a line; or write
    them to the new file ``parquet``. ``slower_ms`` leaves only requests of that latency or more.

    Raises:
        RecordingError: the bundle cannot be read.
        BundleError: the file exists, or cannot be written.
        NotPermittedError: one of the two may not be.
        UsageError: several formats are asked for, or DuckDB is not installed.
    """
    if as_csv + as_json + (parquet is not None) > 1:
        raise UsageError(
            "expected one of --csv, --json and --parquet", hint="aodasync bundles events --help"
        )
    manifest, rows, files = load_events(path)
    if slower_ms:
        rows = rows[latency_ns(rows) >= round(slower_ms * NS_PER_MS)]
    clock = clock_of(manifest)
    offset_ns = clock.offset_ns if clock else None
    found = records(rows, manifest, offset_ns, files)
    if parquet is not None:
        _write_parquet(found, parquet)
        out.write(f"{printable(str(parquet))}\n")
    elif as_csv:
        _print_csv(map(_without_formulas, found), out)
    elif as_json:
        out.writelines(f"{json.dumps(record)}\n" for record in found)
    else:
        out.write(_line(dict(zip(FIELDS, FIELDS, strict=True))))
        out.writelines(_line(_at_local_time(record, offset_ns)) for record in found)
    return ExitCode.OK


def _without_formulas(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """With "'" before a name that a spreadsheet would run: anybody can name a file ``=...``."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
        for name, value in record.items()
    }


def _print_csv(found: Iterable[Mapping[str, Any]], out: TextIO) -> None:
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "flags": " ".join(record["flags"])} for record in found)


def _write_parquet(found: Iterable[Mapping[str, Any]], target: Path) -> None:
    try:
        import duckdb
    except ImportError:
        raise UsageError(
            "--parquet needs DuckDB, which is not installed", hint="pip install duckdb, or --csv"
        ) from None
    with TemporaryDirectory(prefix="aodasync-") as directory:
        rows, made = Path(directory, "rows.csv"), Path(directory, "rows.parquet")
        with rows.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            _print_csv(found, out)
        with duckdb.connect() as database:
            read = database.read_csv(str(rows), header=True, dtype=_COLUMNS, sep=",", quotechar='"')
            read.write_parquet(str(made), compression="zstd")
        write_file(target, made.read_bytes())


def _at_local_time(record: Mapping[str, Any], offset_ns: int | None) -> Mapping[str, Any]:
    if record["time"] is None or offset_ns is None:
        return record
    return {**record, "time": iso(record["released_ns"] + offset_ns, digits=6)}


def _line(record: Mapping[str, Any]) -> str:
    shown = {**record, "command": (record["command"] or record["kind"]).removeprefix("SMB2_")}
    cells = []
    for name, width in _WIDTHS.items():
        value = shown[name]
        text = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
        cells.append(text.rjust(width) if name.endswith("_ms") else text.ljust(width))
    place = "/".join(filter(None, (record["share"] or record["server"], record["file"])))
    return printable(f"{' '.join(cells)} {record['comm']} {record['tgid']} {place}") + "\n"
