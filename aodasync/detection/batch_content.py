# SPDX-License-Identifier: MIT
"""What a batch has to say, worked out once for all who look at it: most have nothing to say."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from numpy import count_nonzero

from aodasync.detection.trouble_rows import (
    IO_TIMEOUT,
    LOST_SHARE,
    NEGOTIATE,
    SESSION_SETUP,
    TREE_CONNECT,
    WRITE,
)
from aodasync.events import FEW_ROWS, EventArray, glance
from aodasync.smb.ntstatus import SESSION_ENDED

__all__ = ["ANSWERS", "ANYTHING", "FILE_ERRORS", "Content", "content_of"]


class Content(IntEnum):
    """Of two batches together it is the larger one."""

    ANSWERS = 0
    """Requests that were answered without an error; none is a NEGOTIATE."""
    FILE_ERRORS = 1
    """The same but for errors of files, as that of a name that does not exist: answers of which
    none speaks of a connection, a session, a share or a write."""
    ANYTHING = 2


# An enum's members take a microsecond to look up, too much for every batch.
ANSWERS: Final = Content.ANSWERS
FILE_ERRORS: Final = Content.FILE_ERRORS
ANYTHING: Final = Content.ANYTHING

_SPEAKING: Final = frozenset({NEGOTIATE, SESSION_SETUP, TREE_CONNECT})
_SPEAKING_STATUSES: Final = frozenset({IO_TIMEOUT, LOST_SHARE, *SESSION_ENDED})
_MOST_WITH_ERRORS: Final = 512


def content_of(rows: EventArray) -> Content:
    """What rows of shape (N,) have to say. Large batches with an error may say anything."""
    if _are_answers(rows):
        return ANSWERS
    if len(rows) <= _MOST_WITH_ERRORS and _has_errors_of_files_alone(rows):
        return FILE_ERRORS
    return ANYTHING


def _are_answers(rows: EventArray) -> bool:
    if len(rows) <= FEW_ROWS:
        for _, _, _, status, command, _, kind, outcome in glance(rows):
            if status or kind or outcome or not command:
                return False
        return True
    return bool(
        not count_nonzero(rows["status"])
        and not count_nonzero(rows["outcome"])
        and not count_nonzero(rows["kind"])
        and count_nonzero(rows["command"]) == len(rows)
    )


def _has_errors_of_files_alone(rows: EventArray) -> bool:
    if count_nonzero(rows["kind"]) or count_nonzero(rows["outcome"]):
        return False
    answers = {*zip(rows["command"].tolist(), rows["status"].tolist(), strict=True)}
    return not any(
        command in _SPEAKING or status in _SPEAKING_STATUSES or (status and command == WRITE)
        for command, status in answers
    )
