# SPDX-License-Identifier: MIT
"""Reader of /proc/fs/cifs/Stats (cifs_stats_proc_show): the client's own totals."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["requests_by_share"]

_SHARE: Final = re.compile(r"^\d+\) (?P<share>\S.*)$")
_REQUESTS: Final = re.compile(r"^SMBs: (?P<count>\d+)")


def requests_by_share(text: str) -> dict[str, int]:
    r"""Requests sent per mounted share (``\\server\share``) since it was mounted.

    The client counts a request when it builds it for a tree, so NEGOTIATE,
    SESSION_SETUP and ECHO are not among them. Shares listed twice are summed.
    """
    counts: dict[str, int] = {}
    share = ""
    for line in text.splitlines():
        if found := _SHARE.match(line):
            share = found["share"].removesuffix("\tDISCONNECTED ").rstrip()
            counts.setdefault(share, 0)
        elif share and (found := _REQUESTS.match(line)):
            counts[share] += int(found["count"])
    return counts
