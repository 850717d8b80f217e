# SPDX-License-Identifier: MIT
"""``files.json``: the files of the requests in ``events.npy``. Pure.

A JSON list with one object a file: its name, its id as the server gave it, and the
requests about it, as places in ``events.npy``. Requests of unknown files are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from aodasync.events import EventArray
from aodasync.evidence.file_book import NO_FILE, File

__all__ = ["FILES", "NamesByRequest", "describe_files", "file_of", "names_by_request"]

FILES: Final = "files.json"

NamesByRequest: TypeAlias = Mapping[tuple[int, int, int], str]
"""Names of files by connection id, message id and ``issued_ns``."""

_KEY: Final = ("connection_id", "message_id", "issued_ns")


def describe_files(files: Sequence[File], first: int = 0) -> list[dict[str, Any]]:
    """One object a file, in the order of the requests; ``first`` is the place of the first.

    Ids are hexadecimal: JSON readers round integers beyond 2**53.
    """
    places: dict[File, list[int]] = {}
    for place, file in enumerate(files, first):
        if file is not NO_FILE:  # of thousands, a comparison takes a millisecond
            places.setdefault(file, []).append(place)
    return [
        {
            "file_name": file.name,
            "persistent_id": f"0x{file.persistent_id:016x}",
            "volatile_id": f"0x{file.volatile_id:016x}",
            "events": at,
        }
        for file, at in places.items()
    ]


def names_by_request(described: Sequence[Any], rows: EventArray) -> NamesByRequest:
    """What the objects of a file, which anybody may have written, say of these rows."""
    named: dict[int, str] = {}
    for file in described:
        if not isinstance(file, dict) or not isinstance(name := file.get("file_name"), str):
            continue
        places = file.get("events")
        for place in places if name and isinstance(places, list) else ():
            if isinstance(place, int) and 0 <= place < len(rows):
                named[place] = name
    columns = (rows[field][list(named)].tolist() for field in _KEY)
    return dict(zip(zip(*columns, strict=True), named.values(), strict=True))


def file_of(row: Mapping[str, Any], names: NamesByRequest) -> str:
    """The name of the file of one row, by the names of its fields; "" where it is unknown."""
    return names.get((row["connection_id"], row["message_id"], row["issued_ns"]), "")
