# SPDX-License-Identifier: MIT
"""Slots of the maps that the agent reads in place: the same bytes in the kernel and here."""

from __future__ import annotations

from typing import Final

import numpy as np

from aodasync.probes.records import RECORD

__all__ = ["BLOCK", "BLOCK_SLOTS", "OPERATION_SLOT"]

BLOCK_SLOTS: Final = 32

BLOCK: Final = np.dtype(
    {
        "names": ["mids", "rows"],
        "formats": [("<u8", (BLOCK_SLOTS,)), (RECORD, (BLOCK_SLOTS,))],
        "offsets": [0, 8 * BLOCK_SLOTS],
        "itemsize": 4096,
    }
)
"""Slots of requests in flight, ``struct smb_block`` of ``bpf/smb_slots.h``: MIDs, 0 where one
is free, and the rows of their requests, in a page."""

OPERATION_SLOT: Final = np.dtype(
    [
        ("started_ns", "<u8"),  # 0: the slot is free
        ("function", "<u8"),  # address of its name
        ("comm", "S16"),
        ("xid", "<u4"),
        ("pid", "<u4"),
        ("tgid", "<u4"),
    ],
    align=True,
)
"""``struct smb_operation`` of ``bpf/smb_operations.h``."""
