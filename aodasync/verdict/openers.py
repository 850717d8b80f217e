# SPDX-License-Identifier: MIT
"""For whom the kernel's workers ask: the processes that opened the files. Pure.

A kworker writes back what a process wrote (wb_workfn), and sends the CLOSE that the client
had put off (smb2_deferred_work_close). Neither is who suffers from it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from aodasync.events import REQUEST, EventArray
from aodasync.evidence.file_book import FileBook
from aodasync.smb.commands import COMMAND_CODES

__all__ = ["for_their_openers"]

_CREATE: Final = COMMAND_CODES["SMB2_CREATE"]
_WORKER: Final = b"kworker/"


def for_their_openers(asked: EventArray, recorded: EventArray, files: FileBook) -> EventArray:
    """``asked``, shape (N,), with requests of kworkers in the name of who opened their file.

    ``comm`` and ``tgid`` become those of the last CREATE that was given the id of the file, among
    the requests ``recorded``, oldest first; where there is none, the kworker keeps its own.
    """
    mine = np.flatnonzero(np.char.startswith(asked["comm"], _WORKER))
    wanted = _handles(asked[mine], files) if len(mine) else []
    if not any(wanted):
        return asked
    creates = recorded[(recorded["kind"] == REQUEST) & (recorded["command"] == _CREATE)]
    opened = {handle: place for place, handle in enumerate(_handles(creates, files)) if handle}
    asked = asked.copy()
    for at, handle in zip(mine.tolist(), wanted, strict=True):
        if handle in opened:
            for field in ("comm", "tgid"):
                asked[field][at] = creates[field][opened[handle]]
    return asked


def _handles(rows: EventArray, files: FileBook) -> list[tuple[int, int, int] | None]:
    """Session and file id of each row, shape (N,); None where it has no file id."""
    return [
        (session, file.persistent_id, file.volatile_id)
        if file.persistent_id or file.volatile_id
        else None
        for session, file in zip(rows["session_id"].tolist(), files.of(rows), strict=True)
    ]
