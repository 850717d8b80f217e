# SPDX-License-Identifier: MIT
"""Reading bundles and recordings. Everything blocks; nothing is ever extracted.

A bundle is untrusted input: what is read of it is bounded, and every fault of
it is one error of one line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aodasync.bundle import events_file, samples_file
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.files_table import FILES, NamesByRequest, names_by_request
from aodasync.bundle.output_path import BATCHES
from aodasync.bundle.unpacking import Member, members, readable
from aodasync.errors import BundleError, RecordingError
from aodasync.events import EventArray
from aodasync.evidence.model import Sample
from aodasync.host.untrusted_json import MAX_BYTES, parse_json

__all__ = [
    "Checked",
    "Recording",
    "StoredBundle",
    "check",
    "list_bundles",
    "load_events",
    "load_recording",
    "load_samples",
    "read_manifest",
    "verify",
]

_MANIFEST: Final = "manifest.json"
_EVENTS: Final = "events.npy"
_MOST_ACTIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in an output directory."""

    name: BundleName
    path: Path
    size_bytes: int


def list_bundles(output_dir: Path) -> tuple[StoredBundle, ...]:
    """The bundles of an output directory (or of its ``batches/``), oldest first.

    Raises:
        NotPermittedError: it may not be read.
        BundleError: there is no such directory.
    """
    batches = output_dir / BATCHES
    found = []
    with readable(output_dir):
        try:
            listing = os.scandir(batches if batches.is_dir() else output_dir)
        except FileNotFoundError as error:
            raise BundleError(
                f"{output_dir}: no such file or directory",
                hint="an agent makes it when it starts; --output-dir names another",
            ) from error
        with listing as entries:
            for entry in entries:
                name = BundleName.parse(entry.name)
                if name and entry.name == name.archive and entry.is_file(follow_symlinks=False):
                    size_bytes = entry.stat(follow_symlinks=False).st_size
                    found.append(StoredBundle(name, Path(entry.path), size_bytes))
    return tuple(sorted(found, key=lambda bundle: bundle.name))


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a bundle, or of a directory that holds one.

    Raises:
        NotPermittedError: it may not be read.
        BundleError: it has none, or cannot be read.
    """
    with members(path) as found:
        for member in found:
            if member.name == _MANIFEST:
                return parse_manifest(path, member)
    raise BundleError(f"{path}: no {_MANIFEST} in it", hint="is it a bundle?")


def parse_manifest(path: Path, member: Member) -> dict[str, Any]:
    """The manifest of the bundle ``path`` out of its file.

    Raises:
        BundleError: it is not a JSON object, or too large.
    """
    try:
        manifest = parse_json(member.read(MAX_BYTES))
    except ValueError as error:
        raise BundleError(f"{path}: {_MANIFEST}: {error}") from None
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: {_MANIFEST} is not an object")
    return manifest


def load_recording(path: Path) -> tuple[dict[str, Any], EventArray]:
    """The manifest and the rows (shape (N,), dtype EVENT) of a bundle or a directory.

    Raises:
        NotPermittedError: it may not be read.
        RecordingError: it cannot be read, or is not a recording.
    """
    return _recording(path).content()


def load_events(path: Path) -> tuple[dict[str, Any], EventArray, NamesByRequest]:
    """The same, and the names of the files that the requests are about."""
    recording = _recording(path)
    return *recording.content(), recording.file_names()


def _recording(path: Path) -> Recording:
    recording = Recording(path)
    try:
        with members(path) as found:
            for member in found:
                recording.take(member)
    except BundleError as error:
        raise RecordingError(error.what, hint=error.hint) from None
    return recording


def load_samples(path: Path) -> tuple[Sample, ...]:
    """The samples of a bundle or a directory, oldest first; none where there are none.

    Raises:
        NotPermittedError: it may not be read.
        RecordingError: it cannot be read.
    """
    try:
        with members(path) as found:
            for member in found:
                if member.name == samples_file.SAMPLES:
                    return samples_file.decode(member.read(samples_file.MAX_SAMPLES_BYTES))
    except (BundleError, ValueError) as error:
        raise RecordingError(f"{path}: {samples_file.SAMPLES}: {error}") from None
    return ()


class Recording:
    """A recording in the making, out of a bundle's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._manifest: dict[str, Any] | None = None
        self._rows: EventArray | None = None
        self._files: Any = None

    def take(self, member: Member) -> bool:
        """Whether the file is of a recording; if so, it is read.

        Raises:
            BundleError: it cannot be.
            RecordingError: it holds no requests.
        """
        if member.name == _MANIFEST:
            self._manifest = parse_manifest(self._path, member)
        elif member.name == _EVENTS:
            self._rows = events_file.decode(member.read(events_file.MAX_EVENTS_BYTES))
        elif member.name == FILES:
            with contextlib.suppress(ValueError, BundleError):  # names are a help, and no promise
                self._files = parse_json(member.read(MAX_BYTES))
        return member.name in (_MANIFEST, _EVENTS, FILES)

    def content(self) -> tuple[dict[str, Any], EventArray]:
        """The manifest and the rows.

        ``connections`` and ``losses`` are there and well-formed, if empty; nothing else
        of the manifest is looked at.

        Raises:
            RecordingError: one of the two was not among the files.
        """
        manifest, rows = self._manifest, self._rows
        if manifest is None or rows is None:
            lacking = _MANIFEST if manifest is None else _EVENTS
            raise RecordingError(f"{self._path}: no {lacking} in it", hint="is it a recording?")
        whole = [c for c in _objects(manifest, "connections") if _is_whole(c)]
        return {**manifest, "connections": whole, "losses": _object(manifest, "losses")}, rows

    def file_names(self) -> NamesByRequest:
        """The file of each request, where it is known and the bundle says so."""
        if self._rows is None or not isinstance(self._files, list):
            return {}
        return names_by_request(self._files, self._rows)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with a bundle, one sentence each, and the name that it was written under."""

    problems: tuple[str, ...]
    written_as: str


def verify(path: Path) -> tuple[str, ...]:
    """What is wrong with a bundle, one sentence each; nothing if it is whole."""
    return check(path).problems


def check(path: Path) -> Checked:
    """Read a bundle to its last byte: zstd's checksum, the tar, all that the manifest promises.

    A bundle that was renamed is whole; an unpacked one has no checksum any more.

    Raises:
        NotPermittedError: it may not be read.
    """
    sizes: dict[str, int] = {}
    problems: list[str] = []
    directories: dict[str, str] = {}
    manifest: dict[str, Any] = {}
    events: EventArray | None = None
    try:
        with members(path) as found:
            for member in found:
                directories.setdefault(member.directory, member.name)
                if member.name in sizes:
                    problems.append(f"{member.name} is there twice")
                sizes[member.name] = member.size_bytes
                if member.name == _MANIFEST:
                    manifest = parse_manifest(path, member)
                elif member.name == _EVENTS:
                    events = events_file.decode(member.read(events_file.MAX_EVENTS_BYTES))
    except (BundleError, RecordingError) as error:
        return Checked((*problems, error.what), "")
    named = manifest.get("bundle")
    written_as = named if isinstance(named, str) else ""
    if not path.is_dir():
        problems += _misplaced(directories, written_as)
    problems += _broken_promises(manifest, sizes, events)
    return Checked(tuple(problems), written_as)


def _misplaced(directories: Mapping[str, str], written_as: str) -> Iterator[str]:
    expected = written_as or next(iter(directories), "")
    for directory, name in directories.items():
        if directory != expected:
            yield f"{name} is in {directory:.100}/, not {expected:.100}/"


def _broken_promises(
    manifest: dict[str, Any], sizes: dict[str, int], events: EventArray | None
) -> Iterator[str]:
    for name in (_MANIFEST, _EVENTS, "inflight.json"):
        if name not in sizes:
            yield f"{name} is missing"
    for action in _objects(manifest, "actions")[:_MOST_ACTIONS]:
        file, promised = action.get("file"), action.get("bytes")
        if file is None:
            continue
        if not isinstance(file, str):
            yield f"the manifest names a file that is no text: {file!r:.40}"
        elif sizes.get(file) != promised:
            size = "missing" if file not in sizes else f"{sizes[file]} bytes"
            yield f"{file:.100} is {size}, the manifest says {promised!r:.40} bytes"
    count = _object(manifest, "events").get("count")
    if events is not None and manifest and len(events) != count:
        yield f"events.npy has {len(events)} rows, the manifest says {count!r:.40}"


def _object(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _objects(manifest: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = manifest.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_whole(connection: dict[str, Any]) -> bool:
    kinds = {"connection_id": int, "server": str, "address": str, "port": int}
    return all(isinstance(connection.get(key), kind) for key, kind in kinds.items())
