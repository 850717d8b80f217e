# SPDX-License-Identifier: MIT
"""Operations of processes that are inside the client: an open, a stat, a part of a read.

One may wait long before any request of it is made, and so is in no request's latency.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["NO_OPERATIONS", "OPERATION", "OperationArray", "WaitsFor"]

OperationArray: TypeAlias = npt.NDArray[Any]
"""Array of shape (N,) and dtype :data:`OPERATION`."""

OPERATION: Final = np.dtype(
    [
        ("started_ns", "<u8"),  # CLOCK_MONOTONIC
        ("xid", "<u4"),  # the client's number for it
        ("pid", "<u4"),  # thread that began it
        ("tgid", "<u4"),
        ("comm", "S16"),  # of the thread
        ("function", "S32"),  # of the client: cifs_open, cifs_revalidate_dentry_attr, ...
        ("waits_for", "u1"),  # WaitsFor
    ],
    align=True,
)
"""``struct smb_operation`` of ``bpf/smb_operations.h``."""

NO_OPERATIONS: Final[OperationArray] = np.zeros(0, OPERATION)


class WaitsFor(IntEnum):
    """What the thread of an operation waits for, by its stack in the kernel."""

    UNKNOWN = 0  # too young to be looked at, running, or something else
    RESPONSE = 1  # to a request that it made
    CREDITS = 2
    RECONNECT = 3
