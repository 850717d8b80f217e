# SPDX-License-Identifier: MIT
"""``aodasync bundles``: list them, show what one says, verify and anonymise them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from aodasync.bundle.anonymise import anonymise
from aodasync.bundle.archive import list_bundles, read_manifest, verify
from aodasync.bundle.names import BundleName
from aodasync.bundle.output_dir import BATCHES
from aodasync.bundle.unpacking import members
from aodasync.commands.bundle_text import describe, printable
from aodasync.errors import BundleError, ExitCode, NotPermittedError

__all__ = ["anonymise_bundle", "find_bundle", "ls", "show", "stored_paths", "verify_bundles"]

_COLUMNS: Final = ("time", "anomaly", "size", "server", "verdict", "bundle")


def find_bundle(output_dir: Path, named: str | None) -> Path:
    """The bundle of this path, or of this name below ``output_dir``; None is the newest one.

    Raises:
        BundleError: there is none.
        NotPermittedError: the caller may not look.
    """
    if named is None:
        stored = _listed(output_dir)
        if not stored:
            raise BundleError(f"{output_dir}: no bundle in it", hint="aodasync snapshot makes one")
        return stored[-1]
    name = BundleName.parse(named)
    if name is not None and not Path(named).exists():
        for directory in (output_dir / BATCHES, output_dir):
            if (directory / name.archive).is_file():
                return directory / name.archive
    return Path(named)


def ls(output_dir: Path, *, as_json: bool, out: TextIO) -> int:
    """List bundles, oldest first: time, anomaly, size, server, verdict, name."""
    rows = [_row(path) for path in _listed(output_dir)]
    if as_json:
        out.write(f"{json.dumps(rows, indent=2)}\n")
    elif rows:
        out.writelines(_table(rows))
    return ExitCode.OK


def show(path: Path, *, as_json: bool, out: TextIO) -> int:
    """Print a manifest: for people its verdict, key figures and files, or all of it as JSON."""
    manifest = read_manifest(path)
    out.write(f"{json.dumps(manifest, indent=2)}\n" if as_json else describe(manifest))
    if not as_json and not path.is_dir():
        with members(path) as files:
            listed = [f"{file.size_bytes:>9} B  {printable(file.name)}\n" for file in files]
        out.writelines(["\nfiles\n", *listed])
    return ExitCode.OK


def verify_bundles(paths: Iterable[Path], *, as_json: bool, out: TextIO) -> int:
    """Check archives to their last byte; 1 if anything is wrong with one."""
    found = {path: verify(path) for path in paths}
    if as_json:
        shown = [{"path": str(path), "problems": list(what)} for path, what in found.items()]
        out.write(f"{json.dumps(shown, indent=2)}\n")
    else:
        out.writelines(
            f"{path.name}: {'ok' if not problems else '; '.join(problems)}\n"
            for path, problems in found.items()
        )
    return ExitCode.FAILURE if any(found.values()) else ExitCode.OK


def anonymise_bundle(path: Path, directory: Path, *, out: TextIO) -> int:
    """Write a copy with other names, and the map for who keeps the original."""
    archive, names = anonymise(path, directory)
    out.write(f"{archive}\n{names}\n")
    return ExitCode.OK


def stored_paths(output_dir: Path, named: str | None) -> list[Path]:
    """The one bundle that is named, or all of them."""
    return _listed(output_dir) if named is None else [find_bundle(output_dir, named)]


def _listed(output_dir: Path) -> list[Path]:
    try:
        return [bundle.path for bundle in list_bundles(output_dir)]
    except BundleError as error:
        if isinstance(error.__cause__, PermissionError):
            raise NotPermittedError(error.what, hint="sudo, or --output-dir") from None
        raise


def _row(path: Path) -> dict[str, Any]:
    name = BundleName.parse(path.name)
    time = datetime.fromtimestamp((name.realtime_ns if name else 0) // 10**9, tz=UTC)
    row: dict[str, Any] = {
        "time": f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "anomaly": name.anomaly if name else "",
        "bytes": path.stat().st_size,
        "server": "",
        "verdict": "",
        "path": str(path),
        "error": None,
    }
    try:
        manifest = read_manifest(path)
    except BundleError as error:
        row["error"] = error.what
        return row
    row["server"] = _text(manifest.get("anomaly"), "server")
    row["verdict"] = _text(manifest.get("verdict"), "cause")
    return row


def _text(holder: object, key: str) -> str:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, str) else ""


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        (
            str(row["time"]),
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
