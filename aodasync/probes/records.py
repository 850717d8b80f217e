# SPDX-License-Identifier: MIT
"""What comes through the rings: the same bytes in the kernel and here."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import (
    EVENT,
    FILE_ID,
    NO_EVENTS,
    NO_FILE_IDS,
    OPAQUE,
    EventArray,
    FileIdArray,
)

__all__ = ["FILE_NAME", "NAME_BYTES", "RECORD", "split"]

RECORD: Final = np.dtype([*EVENT.descr, *FILE_ID.descr])
"""A record of the ring: a row, and the id of its file behind it."""


def split(records: npt.NDArray[Any]) -> tuple[EventArray, FileIdArray]:
    """Rows and file ids of RECORDs, shape (N,) each, as contiguous copies."""
    count, strides = len(records), (RECORD.itemsize,)
    if not count:
        return NO_EVENTS, NO_FILE_IDS
    rows = np.ndarray((count,), OPAQUE, records, 0, strides).copy().view(EVENT)
    opaque_id = np.dtype((np.void, FILE_ID.itemsize))
    return rows, np.ndarray((count,), opaque_id, records, EVENT.itemsize, strides).copy().view(
        FILE_ID
    )


NAME_BYTES: Final = 256
"""Of a name that the kernel side sends; a power of two."""

FILE_NAME: Final = np.dtype(
    [
        ("number", "<u8"),  # of all names so far; 0: there was none
        ("issued_ns", "<u8"),
        ("message_id", "<u8"),
        ("connection_id", "<u8"),
        ("pid", "<u4"),
        ("bytes", "<u4"),  # of the whole name
        ("text", f"V{NAME_BYTES}"),  # UTF-16; the end of a longer name
    ]
)
"""The name in a CREATE request, by the fields of its row: a slot of the ring of names."""
