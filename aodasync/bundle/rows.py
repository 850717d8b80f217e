# SPDX-License-Identifier: MIT
"""``events.npy``: rows of requests on disk, and what goes into it."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final

import numpy as np

from aodasync.errors import RecordingError
from aodasync.events import EVENT, EventArray

__all__ = ["MAX_EVENTS_BYTES", "decode", "encode", "join", "select"]

MAX_EVENTS_BYTES: Final = 512 << 20
"""The largest ``events.npy`` that is read: five million rows."""


def join(before: EventArray, after: EventArray) -> tuple[EventArray, bool]:
    """One recording of two copies of the recorder, the second taken later.

    The recorder is a ring: on a busy host what came before the anomaly is gone
    from it when collection ends. Both have shape (N,), oldest first; where they
    overlap, rows are not repeated. The flag says that they do not: the ring has
    turned over in between, and rows may be missing there.
    """
    if not len(before) or not len(after):
        return (before if len(before) else after), False
    # Rows are compared as bytes: comm is padded with NULs, which S16 would ignore.
    for start in np.flatnonzero(before["released_ns"] == after["released_ns"][0]):
        if _starts_with(after, before[start:]):
            return np.concatenate([before[:start], after]), False
    return np.concatenate([before, after]), True


def _starts_with(rows: EventArray, head: EventArray) -> bool:
    rows = rows[: len(head)]
    return np.array_equal(rows[:1].view(np.uint8), head[:1].view(np.uint8)) and np.array_equal(
        rows.view(np.uint8), head.view(np.uint8)
    )


def select(
    before: EventArray, after: EventArray, max_bytes: int
) -> tuple[EventArray, list[dict[str, Any]]]:
    """The rows for ``events.npy``, and an entry for the manifest on each thing left out.

    Of more rows than fit into ``max_bytes`` the newest are taken, one at least.
    """
    joined, gap = join(before, after)
    rows = joined[-max(1, max_bytes // joined.itemsize) :]
    left_out: list[dict[str, Any]] = []
    if gap:
        left_out.append(
            {
                "file": "events.npy",
                "reason": "the recorder turned over during collection: rows may be missing",
                "from_ns": int(before["released_ns"].max()),
                "to_ns": int(after["released_ns"].min()),
            }
        )
    if len(rows) < len(joined):
        left_out.append(
            {
                "file": "events.npy",
                "reason": "shortened to a quarter of max_total_log_size_mb: the newest rows",
                "kept_rows": len(rows),
                "left_out_rows": len(joined) - len(rows),
            }
        )
    return rows, left_out


def encode(file: BinaryIO, rows: EventArray) -> None:
    """Write rows as a NumPy array file, without pickles."""
    np.lib.format.write_array(file, np.ascontiguousarray(rows), allow_pickle=False)


def decode(data: bytes) -> EventArray:
    """Read a NumPy array file as rows of :data:`~aodasync.events.EVENT`.

    Fields that it lacks are 0, those that this version does not know are left out.

    Raises:
        RecordingError: it is not an array of requests.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # noqa: BLE001  # the header is parsed as Python literals
        raise RecordingError(f"events.npy: not a NumPy array file ({error})") from None
    if dtype.names is None or dtype.hasobject or len(shape) != 1:
        raise RecordingError(f"events.npy: not a structured array of rows, but {dtype} {shape}")
    if dtype.itemsize * shape[0] != len(data) - file.tell():
        raise RecordingError(
            f"events.npy: {shape[0]} rows of {dtype.itemsize} bytes are not"
            f" {len(data) - file.tell()} bytes",
            hint="it was cut off",
        )
    known = [name for name in EVENT.names or () if name in dtype.names]
    if "issued_ns" not in known or "command" not in known:
        raise RecordingError(f"events.npy: no requests: fields {', '.join(dtype.names)}")
    found = np.frombuffer(data, dtype, offset=file.tell())
    rows: EventArray = np.zeros(len(found), EVENT)
    for name in known:
        kinds = "S" if EVENT[name].kind == "S" else "biu"
        if dtype[name].shape or dtype[name].kind not in kinds:
            raise RecordingError(f"events.npy: {name} is {dtype[name]}, not {EVENT[name]}")
        rows[name] = found[name]
    return rows
