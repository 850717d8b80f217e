# SPDX-License-Identifier: MIT
"""What the guest sends while it runs: first its preparation, then the script's output."""

from collections.abc import Callable

from .tally import Tally

_MARK = b"lab: the script starts\n"


class Stream:
    """Passes the guest's output on as it comes, and counts the script's verdicts."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.tally = Tally()
        self.started = False
        self._write = write
        self._line = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece of output."""
        if not self.started:
            before, mark, data = (self._line + data).partition(_MARK)
            self.started = bool(mark)
            cut = len(before) if mark else before.rfind(b"\n") + 1
            self._line = before[cut:]
            self._write(before[:cut])
        if self.started:
            self._write(data)
            self.tally.feed(data)
