# SPDX-License-Identifier: MIT
"""``events.npy``: rows of requests on disk, and what goes into it."""

from __future__ import annotations

import io
import mmap
import os
import shutil
import struct
import warnings
from typing import Any, BinaryIO, Final

import numpy as np

from aodasync.errors import RecordingError
from aodasync.events import EVENT, EventArray

__all__ = [
    "MAX_EVENTS_BYTES",
    "MAX_ROWS",
    "decode",
    "encode",
    "extend",
    "mapped",
    "most_rows",
    "truncations",
]

MAX_ROWS: Final = 1_000_000
"""The most rows that are read: twenty times what the recorder holds by default."""

MAX_EVENTS_BYTES: Final = 128 << 20
"""The largest ``events.npy`` that is read: :data:`MAX_ROWS`, and room for fields to come."""

_LATEST_NS: Final = np.uint64(1 << 62)
_TIMES: Final = tuple(name for name in EVENT.names or () if name.endswith("_ns"))

_HEADER: Final = struct.Struct("<8sH")  # NumPy's magic with version 1.0, the size of what follows
_CHUNK_BYTES: Final = 256 * 1024


def most_rows(max_bytes: int) -> int:
    """How many rows fit, one at least, and no more than are ever read."""
    return min(MAX_ROWS, max(1, max_bytes // EVENT.itemsize))


def encode(file: BinaryIO, rows: EventArray) -> None:
    """Write contiguous rows, shape (N,), as a NumPy array file, without pickles or copies."""
    _write_header(file, len(rows))
    file.write(rows.view(np.uint8).data)


def extend(file: BinaryIO, earlier: BinaryIO, rows: EventArray, most: int) -> tuple[int, int]:
    """Write the newest ``most`` of the rows in ``earlier``, an :func:`encode`'s file, and ``rows``.

    Returns how many there are of each. It is a stream: of the earlier ones a quarter of
    a megabyte is in memory at a time.
    """
    held = _skip_header(earlier)
    kept = rows[-most:]
    kept_earlier = min(held, most - len(kept))
    _write_header(file, kept_earlier + len(kept))
    earlier.seek((held - kept_earlier) * EVENT.itemsize, os.SEEK_CUR)
    shutil.copyfileobj(earlier, file, _CHUNK_BYTES)
    file.write(kept.view(np.uint8).data)
    return kept_earlier, len(kept)


def mapped(file: BinaryIO) -> EventArray:
    """The rows of a file that :func:`encode` or :func:`extend` wrote: read-only, not copied."""
    _skip_header(file)
    pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    rows: EventArray = np.frombuffer(pages, EVENT, offset=file.tell())
    return rows


def truncations(
    rows: EventArray, earlier: int, *, missing: int = 0, left_out: int = 0
) -> list[dict[str, Any]]:
    """Entries for the manifest on what is not among ``rows``, of which ``earlier`` came first.

    ``missing`` were overwritten in the recorder while evidence was collected, between the earlier
    rows and the others; ``left_out`` are the oldest ones, for which there was no room.
    """
    found: list[dict[str, Any]] = []
    if missing:
        before, after = rows["released_ns"][:earlier], rows["released_ns"][earlier:]
        found.append(
            {
                "file": "events.npy",
                "reason": "the recorder turned over during collection",
                "left_out_rows": missing,
                "from_ns": int(before.max(initial=0)),
                "to_ns": int(after.min()) if len(after) else 0,
            }
        )
    if left_out:
        found.append(
            {
                "file": "events.npy",
                "reason": "shortened to a quarter of max_total_log_size_mb: the newest rows",
                "kept_rows": len(rows),
                "left_out_rows": left_out,
            }
        )
    return found


def _write_header(file: BinaryIO, count: int) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.zeros(0, EVENT))
    np.lib.format.write_array_header_1_0(file, {**header, "shape": (count,)})


def _skip_header(file: BinaryIO) -> int:
    """The number of rows in a file of ours. NumPy takes 0.3 ms to read what it says of them."""
    _, size = _HEADER.unpack(file.read(_HEADER.size))
    begin = file.tell() + int(size)
    end = file.seek(0, os.SEEK_END)
    file.seek(begin)
    return (end - begin) // EVENT.itemsize


def _read_header(file: BinaryIO) -> tuple[Any, Any]:
    """The dtype and the number of rows.

    Raises:
        RecordingError: it is not a one-dimensional structured array.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # noqa: BLE001  # the header is parsed as Python literals
        raise RecordingError(f"events.npy: not a NumPy array file ({error!s:.200})") from None
    if dtype.names is None or dtype.hasobject or len(shape) != 1:
        what = f"{dtype} {shape}"
        raise RecordingError(f"events.npy: not a structured array of rows, but {what:.200}")
    if not 0 <= shape[0] < 1 << 62:
        raise RecordingError("events.npy: a number of rows that no file holds")
    return dtype, shape[0]


def decode(data: bytes) -> EventArray:
    """Read a NumPy array file as rows of :data:`~aodasync.events.EVENT`.

    Fields that it lacks are 0, those that this version does not know are left out. So is
    a time of 146 years and more: it is damage, and no sum of it fits 64 bits.

    Raises:
        RecordingError: it is not an array of requests, or one of more than :data:`MAX_ROWS`.
    """
    file = io.BytesIO(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, and Python's of what it takes for a literal
        dtype, count = _read_header(file)
    if count > MAX_ROWS:
        raise RecordingError(f"events.npy: {count:,} rows; {MAX_ROWS:,} are read at most")
    if not dtype.itemsize or dtype.itemsize * count != len(data) - file.tell():
        raise RecordingError(
            f"events.npy: {count} rows of {dtype.itemsize} bytes are not"
            f" {len(data) - file.tell()} bytes",
            hint="it was cut off",
        )
    known = [name for name in EVENT.names or () if name in dtype.names]
    if "issued_ns" not in known or "command" not in known:
        fields = ", ".join(dtype.names)
        raise RecordingError(f"events.npy: no requests: fields {fields:.200}")
    found = np.frombuffer(data, dtype, offset=file.tell())
    rows: EventArray = np.zeros(len(found), EVENT)
    for name in known:
        kinds = "S" if EVENT[name].kind == "S" else "biu"
        if dtype[name].shape or dtype[name].kind not in kinds:
            raise RecordingError(f"events.npy: {name} is {dtype[name]!s:.100}, not {EVENT[name]}")
        rows[name] = found[name]
    for name in _TIMES:
        rows[name][rows[name] >= _LATEST_NS] = 0
    return rows
