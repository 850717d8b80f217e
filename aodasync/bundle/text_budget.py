# SPDX-License-Identifier: MIT
"""How much text of an archive is anonymised, and how long that may take.

It takes one microsecond a byte, or two. An archive under a megabyte takes 16 s at most: a
text that compresses better than logs do, and lines that take longer than theirs, may be
there to take more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

__all__ = ["TextBudget", "TooMuchTextError"]

_LEAST_ROOM_BYTES: Final = 8 << 20
_SMALL_BYTES: Final = 1 << 20
_USUAL_RATIO: Final = 30
_SEC_PER_BYTE: Final = 1.6e-6
_LEARNING: Final = 0.6  # of the time: it takes a little more than replacing
_MOST_OF_A_LINE: Final = 1 << 20


class TooMuchTextError(Exception):
    """There is no room or no time for a text."""


class TextBudget:
    """What an archive of this size usually holds, and the CPU time for that much; blocks."""

    def __init__(self, path: Path) -> None:
        archive_bytes = path.stat().st_size
        self._bytes_left = _LEAST_ROOM_BYTES + _USUAL_RATIO * max(0, archive_bytes - _SMALL_BYTES)
        self._sec = self._bytes_left * _SEC_PER_BYTE
        self._begun_sec = time.thread_time()
        self._part = _LEARNING

    def take(self, size_bytes: int) -> None:
        """Make room for a text. Raises TooMuchTextError."""
        if size_bytes > self._bytes_left:
            raise TooMuchTextError
        self._bytes_left -= size_bytes

    def check(self, line: int) -> None:
        """Raise TooMuchTextError if time is up, or a line of this length could take all of it."""
        spent_sec = time.thread_time() - self._begun_sec
        if spent_sec > self._sec * self._part or line > _MOST_OF_A_LINE:
            raise TooMuchTextError

    def learnt(self) -> None:
        """All names are known: the rest of the time is for replacing them."""
        self._part = 1.0
