# SPDX-License-Identifier: MIT
"""All of a bundle, in memory: manifest, requests, texts. A bundle is untrusted; all is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aodasync.bundle.archive import Recording
from aodasync.bundle.files_table import NamesByRequest
from aodasync.bundle.unpacking import Member, members
from aodasync.captures import PRIVATE_FILES
from aodasync.errors import BundleError, RecordingError
from aodasync.events import EventArray
from aodasync.host.untrusted_json import MAX_BYTES, parse_json

__all__ = ["Content", "read_bundle"]

_MOST_TEXT_BYTES: Final = 256 * 1024  # of one file
_MOST_TEXTS_BYTES: Final = 3 << 19  # of all of them
_CHUNK_BYTES: Final = 1 << 20
_TABLES: Final = ("inflight.json", "operations.json")


@dataclass(frozen=True, slots=True)
class Content:
    """``rows`` has shape (N,), dtype EVENT; ``file_names`` are those of their files.

    ``texts`` are the actions' files by name.

    ``in_flight`` and ``operations`` are the objects of their files, ``unreadable`` what could
    not be read of those, a sentence each.
    """

    manifest: Mapping[str, Any]
    rows: EventArray
    file_names: NamesByRequest = field(default_factory=dict)
    in_flight: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    texts: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


def read_bundle(path: Path) -> Content:
    """Read a bundle: an archive of any name, or a directory with a bundle's files.

    Raises:
        NotPermittedError: it may not be read.
        RecordingError: it has no manifest or no requests, or is not whole.
    """
    recording = Recording(path)
    texts: dict[str, str] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    unreadable: list[str] = []
    room = _MOST_TEXTS_BYTES
    try:
        with members(path) as found:
            for member in found:
                if recording.take(member) or member.name in PRIVATE_FILES:
                    continue
                if member.name in _TABLES:
                    tables[member.name] = _objects(member, unreadable)
                else:
                    text = _shortened(member, min(room, _MOST_TEXT_BYTES))
                    room -= min(room, len(text))
                    texts[member.name] = text.decode("utf-8", "replace")
    except BundleError as error:
        raise RecordingError(error.what, hint=error.hint) from None
    manifest, rows = recording.content()
    in_flight, operations = (tables.get(name, []) for name in _TABLES)
    return Content(
        manifest,
        rows,
        recording.file_names(),
        in_flight,
        operations,
        texts,
        tuple(unreadable),
    )


def _shortened(member: Member, most: int) -> bytes:
    """The text, or its beginning and its end."""
    left_out = member.size_bytes - most
    if left_out <= 0:
        return member.read(most)
    half = most // 2
    head = member.content.read(half)
    tail = b""
    while chunk := member.content.read(_CHUNK_BYTES):
        tail = (tail + chunk)[-half:] if half else b""
    return b"%s\n[... %d bytes only in the bundle ...]\n%s" % (head, left_out, tail)


def _objects(member: Member, unreadable: list[str]) -> list[dict[str, Any]]:
    try:
        found = parse_json(member.read(MAX_BYTES))
    except BundleError as error:
        unreadable.append(error.what)
        return []
    except ValueError as error:
        unreadable.append(f"{member.name}: {error}")
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
