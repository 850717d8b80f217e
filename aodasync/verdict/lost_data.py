# SPDX-License-Identifier: MIT
"""Which errors of lost data are those of a server's connections. Pure.

They name neither connection nor session: what was lost had been written back before, in vain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aodasync.detection.trouble_rows import LOST_WRITES, failed_writes
from aodasync.events import EventArray
from aodasync.evidence.arrays import is_in

__all__ = ["data_lost"]

_LOST = [int(kind) for kind in LOST_WRITES]


def data_lost(
    rows: EventArray, connections: npt.NDArray[np.uint64], since_ns: int
) -> npt.NDArray[np.intp]:
    """The errors since ``since_ns`` whose data was to go over these connections: their indices.

    ``rows`` are all that were recorded, shape (N,), oldest first. The last WRITE that had failed
    before tells whose an error is; where none was seen, it may be of any.
    """
    lost = is_in(rows["kind"], _LOST) & (rows["released_ns"] >= np.uint64(max(0, since_ns)))
    places = np.flatnonzero(lost)
    if len(places) == 0:
        return places
    failed = np.flatnonzero(failed_writes(rows))
    if len(failed) == 0:
        return places
    earlier = np.searchsorted(failed, places)
    known = rows["connection_id"][failed[np.maximum(earlier, 1) - 1]]
    found: npt.NDArray[np.intp] = places[(earlier == 0) | is_in(known, connections)]
    return found
