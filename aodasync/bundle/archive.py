# SPDX-License-Identifier: MIT
"""Reading bundles and recordings. Everything blocks; nothing is ever extracted.

A bundle is untrusted input: what is read of it is bounded, and every fault of
it is one error of one line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aodasync.bundle import rows
from aodasync.bundle.names import ARCHIVE_SUFFIX, BundleName
from aodasync.bundle.output_dir import BATCHES
from aodasync.bundle.unpacking import members
from aodasync.errors import BundleError, RecordingError
from aodasync.events import EventArray

__all__ = ["StoredBundle", "list_bundles", "load_recording", "read_manifest", "verify"]

_MAX_MANIFEST_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in an output directory."""

    name: BundleName
    path: Path
    size_bytes: int


def list_bundles(output_dir: Path) -> tuple[StoredBundle, ...]:
    """The bundles of an output directory (or of its ``batches/``), oldest first.

    Raises:
        BundleError: there is no such directory, or it may not be read.
    """
    batches = output_dir / BATCHES
    found = []
    try:
        with os.scandir(batches if batches.is_dir() else output_dir) as entries:
            for entry in entries:
                name = BundleName.parse(entry.name)
                if name and entry.name == name.archive and entry.is_file(follow_symlinks=False):
                    size_bytes = entry.stat(follow_symlinks=False).st_size
                    found.append(StoredBundle(name, Path(entry.path), size_bytes))
    except OSError as error:
        raise BundleError(
            f"{output_dir}: {str(error.strerror).lower()}", hint="name one with --output-dir"
        ) from error
    return tuple(sorted(found, key=lambda bundle: bundle.name))


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a bundle, or of a directory that holds one.

    Raises:
        BundleError: it has none, or cannot be read.
    """
    if _is_directory(path):
        return _parse_manifest(path, _read_file(path / "manifest.json", _MAX_MANIFEST_BYTES))
    with members(path) as found:
        for member in found:
            if member.name == "manifest.json":
                return _parse_manifest(path, member.read(_MAX_MANIFEST_BYTES))
    raise BundleError(f"{path}: no manifest.json in it", hint="is it a bundle?")


def load_recording(path: Path) -> tuple[dict[str, Any], EventArray]:
    """The manifest and the rows (shape (N,), dtype EVENT) of a bundle or a directory.

    ``connections`` and ``losses`` are there and well-formed, if empty; nothing else
    of the manifest is looked at.

    Raises:
        RecordingError: it cannot be read.
    """
    try:
        files = _recorded_files(path)
        for name in ("manifest.json", "events.npy"):
            if name not in files:
                raise RecordingError(f"{path}: no {name} in it", hint="is it a recording?")
        manifest = _parse_manifest(path, files["manifest.json"])
        manifest["connections"] = [c for c in _objects(manifest, "connections") if _is_whole(c)]
        manifest["losses"] = _object(manifest, "losses")
        return manifest, rows.decode(files["events.npy"])
    except BundleError as error:
        raise RecordingError(error.what, hint=error.hint) from None


def verify(path: Path) -> tuple[str, ...]:
    """What is wrong with a bundle, one sentence each; nothing if it is whole.

    The archive is read to its end: zstd's checksum, the tar structure, the one
    directory of the bundle's name, and everything that the manifest promises.
    """
    sizes: dict[str, int] = {}
    problems: list[str] = []
    manifest: dict[str, Any] = {}
    events: EventArray | None = None
    expected = path.name.removesuffix(ARCHIVE_SUFFIX)
    try:
        with members(path) as found:
            for member in found:
                if member.directory != expected:
                    problems.append(f"{member.name} is in {member.directory}/, not {expected}/")
                if member.name in sizes:
                    problems.append(f"{member.name} is there twice")
                sizes[member.name] = member.size_bytes
                if member.name == "manifest.json":
                    manifest = _parse_manifest(path, member.read(_MAX_MANIFEST_BYTES))
                elif member.name == "events.npy":
                    events = rows.decode(member.read(rows.MAX_EVENTS_BYTES))
    except (BundleError, RecordingError) as error:
        return (*problems, error.what)
    return (*problems, *_broken_promises(manifest, sizes, events))


def _broken_promises(
    manifest: dict[str, Any], sizes: dict[str, int], events: EventArray | None
) -> Iterator[str]:
    for name in ("manifest.json", "events.npy", "inflight.json"):
        if name not in sizes:
            yield f"{name} is missing"
    for action in _objects(manifest, "actions"):
        file = action.get("file")
        if file is not None and sizes.get(file) != action.get("bytes"):
            found = "missing" if file not in sizes else f"{sizes[file]} bytes"
            yield f"{file} is {found}, the manifest says {action.get('bytes')} bytes"
    count = _object(manifest, "events").get("count")
    if events is not None and manifest and len(events) != count:
        yield f"events.npy has {len(events)} rows, the manifest says {count}"


def _recorded_files(path: Path) -> dict[str, bytes]:
    limits = {"manifest.json": _MAX_MANIFEST_BYTES, "events.npy": rows.MAX_EVENTS_BYTES}
    if _is_directory(path):
        return {name: _read_file(path / name, limit) for name, limit in limits.items()}
    with members(path) as found:
        return {m.name: m.read(limits[m.name]) for m in found if m.name in limits}


def _read_file(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path}: {str(error.strerror).lower()}") from error
    if len(data) > limit:
        raise BundleError(f"{path} is larger than {limit >> 20} MiB")
    return data


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # opening it says why


def _parse_manifest(path: Path, data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: manifest.json: {error}") from None
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: manifest.json is not an object")
    return manifest


def _object(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _objects(manifest: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = manifest.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_whole(connection: dict[str, Any]) -> bool:
    kinds = {"connection_id": int, "server": str, "address": str, "port": int}
    return all(isinstance(connection.get(key), kind) for key, kind in kinds.items())
