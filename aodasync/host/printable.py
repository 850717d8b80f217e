# SPDX-License-Identifier: MIT
"""Text for terminals: without what would steer one, or show other words than there are."""

from __future__ import annotations

import io
import os
import re
from typing import Final, TextIO

__all__ = ["PrintableStream", "escaped", "printable", "printable_text", "wants_colour"]

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_CALLED: Final = {"<stdout>": "standard output", "<stderr>": "standard error"}

# Control characters but tab and newline; what is invisible or turns the direction of writing
# (soft hyphen, zero width, bidirectional marks, line separators, tags); halves of surrogates.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
_ESCAPED: Final = re.compile(rf"{_UNPRINTABLE.pattern}|\\(?=u[0-9a-f]{{4}})")


def printable(text: str) -> str:
    """One line; each character that could do harm, or end it, is U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return printable_text(text).replace("\n", _REPLACEMENT).replace("\t", " ")


def printable_text(text: str) -> str:
    """Lines of text; each character that could do harm is U+FFFD."""
    return _UNPRINTABLE.sub(_REPLACEMENT, text)


def escaped(text: str) -> str:
    """The same with such a character as JSON has it: names that differ stay different.

    So a backslash is escaped where it stands before what would be taken for such a character.
    """
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def wants_colour(stream: TextIO) -> bool:
    """Whether colours go to it: a terminal, unless NO_COLOR (no-color.org) or TERM=dumb is set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


class PrintableStream(io.TextIOBase):
    """A text stream to which only printable text goes; ``raw`` is the stream itself."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str, /) -> int:
        """Write what is printable of it, in the stream's encoding.

        Raises:
            OSError: it cannot be written; its ``filename`` is the stream's.
        """
        encoding = self.raw.encoding or "utf-8"
        shown = printable_text(text).encode(encoding, "replace").decode(encoding)
        try:
            self.raw.write(shown)
        except OSError as error:
            # A command that opens files, too, could not tell which of them it was.
            error.filename = _CALLED.get(getattr(self.raw, "name", ""), "output")
            raise
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is closed: since Python 3.13 a destructor may not raise."""
        if not self.raw.closed:
            self.raw.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self.raw.isatty()

    def fileno(self) -> int:
        """The stream's descriptor."""
        return self.raw.fileno()
