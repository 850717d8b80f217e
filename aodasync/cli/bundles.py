# SPDX-License-Identifier: MIT
"""``aodasync bundles``: list them, show what one says, verify and anonymise them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from aodasync.bundle.anonymise import anonymise
from aodasync.bundle.archive import check, list_bundles, read_manifest
from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX, BundleName
from aodasync.bundle.unpacking import members
from aodasync.cli.bundle_summary import summary
from aodasync.cli.bundle_text import describe
from aodasync.cli.json_text import json_text
from aodasync.cli.why import text_width
from aodasync.errors import BundleError, ExitCode, NotPermittedError
from aodasync.host import local_time
from aodasync.host.printable import printable

__all__ = ["Listed", "anonymise_bundle", "ls", "show", "verify_bundles"]

_MOST_CHARACTERS: Final = 64  # of a server's name or a cause, in a list
_MOST_PROBLEMS: Final = 20
_LATEST_SEC: Final = 253_402_300_799  # the last one of the year 9999
_COLUMNS: Final = ("time", "anomaly", "size", "server", "verdict", "bundle")


@dataclass(frozen=True, slots=True)
class Listed:
    """Which bundles are listed: the ``most`` newest (0: all) of those that all of this fits."""

    most: int = 0
    since_ns: int = 0
    anomaly: str = ""
    server: str = ""


def ls(output_dir: Path, wanted: Listed, *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """List bundles, newest first: time, anomaly, size, server, verdict, name.

    A table has the local time; to ``err`` goes that there is none to list.
    """
    rows: list[dict[str, Any]] = []
    stored = list_bundles(output_dir)
    for bundle in reversed(stored):
        if wanted.most and len(rows) == wanted.most:
            break
        name = bundle.name
        if name.realtime_ns < wanted.since_ns:
            continue
        if wanted.anomaly.casefold() not in name.anomaly.casefold():
            continue
        row = _row(bundle.path)
        if row and wanted.server.casefold() in row["server"].casefold():
            rows.append(row)
    if as_json:
        out.write(json_text(rows))
    elif rows:
        out.writelines(_table(rows))
    else:
        err.write(
            f"none of the {len(stored)} bundles in {output_dir} fits\n"
            if stored
            else none_in(output_dir)
        )
    return ExitCode.OK


def none_in(output_dir: Path) -> str:
    """What is said of an output directory without bundles."""
    return f"no bundle in {output_dir}\n"


def show(path: Path, *, as_json: bool, out: TextIO, everything: bool = False) -> int:
    """Print what a bundle says: on half a screen, ``everything`` with all figures, or JSON."""
    manifest = read_manifest(path)
    if as_json:
        out.write(json_text(manifest))
        return ExitCode.OK
    if not everything:
        out.write(summary(manifest, text_width(out)))
        return ExitCode.OK
    with members(path) as files:
        listed = [f"{file.size_bytes:>9} B  {printable(file.name)}\n" for file in files]
    out.writelines([describe(manifest), "\nfiles\n", *listed])
    return ExitCode.OK


def verify_bundles(paths: Iterable[Path], *, as_json: bool, out: TextIO) -> int:
    """Check bundles to their last byte; 1 if anything is wrong with one."""
    whole, shown = True, []
    for path in paths:
        checked = check(path)
        name = path.name if path.name not in ("", "..") else path.resolve().name or str(path)
        prefix = f"{path}: "
        whole = whole and not checked.problems
        renamed = checked.written_as not in ("", name.removesuffix(ARCHIVE_SUFFIX))
        note = f"written as {checked.written_as:.200}" if renamed else ""
        shown.append({"path": str(path), "problems": list(checked.problems), "note": note})
        if not as_json:
            first, more = checked.problems[:_MOST_PROBLEMS], checked.problems[_MOST_PROBLEMS:]
            told = [problem.removeprefix(prefix) for problem in first]
            told += [f"{len(more)} more problems"] if more else []
            said = "; ".join(told) or (f"ok ({note})" if note else "ok")
            out.write(f"{printable(f'{name}: {said}')}\n")
    if as_json:
        out.write(json_text(shown))
    return ExitCode.OK if whole else ExitCode.FAILURE


def anonymise_bundle(path: Path, directory: Path, *, out: TextIO) -> int:
    """Write a copy with other names to send, and a map that says which is which to keep."""
    archive, names = anonymise(path, directory)
    out.write(f"send: {archive}\nkeep: {names}\n")
    return ExitCode.OK


def _row(path: Path) -> dict[str, Any] | None:
    """What is listed of a bundle; None if it was removed meanwhile."""
    name = BundleName.parse(path.name)
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        return None
    row: dict[str, Any] = {
        "time": _utc(name.realtime_ns if name else 0),
        "anomaly": name.anomaly if name else "",
        "bytes": size_bytes,
        "server": "",
        "verdict": "",
        "path": str(path),
        "error": None,
    }
    try:
        manifest = read_manifest(path)
    except (BundleError, NotPermittedError) as error:
        row["error"] = error.what
        return row
    row["time"] = _decided(manifest) or row["time"]
    row["server"] = _text(manifest.get("anomaly"), "server")
    row["verdict"] = _text(manifest.get("verdict"), "cause")
    return row


def _decided(manifest: Mapping[str, Any]) -> str:
    """When it was, which the name does not say of what came after the clock was set back."""
    collection = manifest.get("collection")
    at_ns = collection.get("decided_realtime_ns") if isinstance(collection, Mapping) else None
    return _utc(at_ns) if type(at_ns) is int and 0 <= at_ns < 1 << 63 else ""


def _utc(realtime_ns: int) -> str:
    seconds = min(realtime_ns // 10**9, _LATEST_SEC)
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _local(utc: str) -> str:
    """In local time, with its offset."""
    return local_time.iso(round(datetime.fromisoformat(utc).timestamp()) * 10**9)


def _text(holder: object, key: str) -> str:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return printable(value[:_MOST_CHARACTERS]) if isinstance(value, str) else ""


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        (
            _local(str(row["time"])),
            str(row["anomaly"]),
            f"{row['bytes'] / 1024:,.0f} KiB",
            str(row["server"]) or "-",
            "unreadable" if row["error"] else str(row["verdict"]) or "-",
            Path(row["path"]).name,
        )
        for row in rows
    ]
    heads = tuple(column.upper() for column in _COLUMNS)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if head == "SIZE" else cell.ljust(width)
            for cell, width, head in zip(line, widths, heads, strict=True)
        ).rstrip()
        + "\n"
        for line in (heads, *lines)
    ]
