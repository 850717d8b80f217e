# SPDX-License-Identifier: MIT
"""A line that is searched from left to right, and the strings within strings that it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["Line"]

_BACKSLASH: Final = ord("\\")
_WORD: Final = re.compile(rb"[^\s\0\"'<>]*+")
_AFTER_STRING: Final = b" \t\r\n\0,;:]})>/&|\"'\\"
# A mark within a string, as shells have it; twice, as PowerShell, YAML and databases do.
_JOINT: Final = re.compile(
    rb"'\\{1,8}''|'\\{0,7}\"'\\{0,7}\"'|(?:''){1,16}|(?:\"\"){1,16}(?![\s\0,;:\]})>/&|\"'\\]|$)"
)
# A word that an apostrophe opens, up to its NAME=: ['-o', 'username=u1,password=...
_IN_APOSTROPHES: Final = re.compile(rb"(?:^|[\s\0,=:(\[{])'[^'\"\s]{1,256}[:=]$")
_IN_QUOTES: Final = re.compile(rb"(?:^|[\s\0,=:(\[{])\\{0,31}\"[^'\"\s]{1,256}=$")
_APOSTROPHE: Final = re.compile(
    rb"\\{0,8}'\\{0,7}\"'\\{0,7}\"'|'\\{1,8}''|\\'|(?P<closing>')(?=[\s\0,;:.)\]}&|\"]|$)"
)


class Line:
    """``text``, and ``low`` for searching: the same in lower case, of the same length.

    ``begin`` is where the search begins (what lies before was searched already), ``whole``
    whether the line ends with this text. ``argv`` is a command's argument vector, joined
    by NULs: no value goes beyond its argument.
    """

    __slots__ = (
        "_ends",
        "_following",
        "_open",
        "_seen",
        "_word",
        "argv",
        "begin",
        "low",
        "text",
        "whole",
    )

    def __init__(
        self,
        text: bytes,
        begin: int = 0,
        *,
        whole: bool = True,
        argv: bool = False,
        strings: tuple[tuple[int, ...], int] = ((), 0),
    ) -> None:
        self.text = text
        self.low = text.lower()
        self.begin = begin
        self.whole = whole
        self.argv = argv
        self._open = list(strings[0])
        self._seen = begin + strings[1]
        self._ends: dict[int, tuple[int, int]] = {}
        self._word = (0, -1)
        self._following: dict[Callable[[Line, int], int], tuple[int, int]] = {}

    def open_strings(self, at: int) -> tuple[int, ...]:
        """The depths of the quoted strings that ``at`` lies in, outermost first.

        To be asked with rising positions: each quotation mark is looked at once.
        """
        while (quote := self.low.find(b'"', self._seen, at)) >= 0:
            self._seen = quote + 1
            depth = self._depth(quote)
            if depth in self._open:
                del self._open[self._open.index(depth) :]
            elif len(self._open) < 8:
                self._open.append(depth)
        self._seen = max(self._seen, at)
        return tuple(self._open)

    def mask(self, end: int) -> None:
        """A secret ends here: quotation marks in it open and close nothing."""
        self._seen = max(self._seen, end)

    def strings_at(self, at: int) -> tuple[tuple[int, ...], int]:
        """For the line's next piece, which begins at ``at``: what ``strings`` is to be."""
        return self.open_strings(at), self._seen - at

    def bound(self, value: int) -> int:
        """Where what begins at ``value`` ends at the latest: with the string that it lies in."""
        strings = self.open_strings(value)
        end = self._closing(value, strings[-1]) if strings else len(self.low)
        if self.in_apostrophes(value):
            end = min(end, self.following(_closing_apostrophe, value))
        if self.argv:
            after = self.low.find(b"\0", value, end)
            return end if after < 0 else after
        return end

    def in_apostrophes(self, value: int) -> bool:
        """Whether an apostrophe opens the word, up to a NAME=, behind which a value begins."""
        return _IN_APOSTROPHES.search(self.low, max(0, value - 260), value) is not None

    def in_quotes(self, value: int) -> bool:
        """The same for a quotation mark."""
        return _IN_QUOTES.search(self.low, max(0, value - 292), value) is not None

    def word_end(self, at: int) -> int:
        """Where the word ends that ``at`` lies in: at a blank, a quotation mark or a tag."""
        if not self._word[0] <= at <= self._word[1]:
            found = _WORD.match(self.low, at)
            self._word = (at, found.end() if found else at)
        return self._word[1]

    def following(self, search: Callable[[Line, int], int], begin: int) -> int:
        """What a search finds first behind ``begin``; no part of a line is searched twice."""
        asked, found = self._following.get(search, (0, -1))
        if not asked <= begin <= found:
            found = search(self, begin)
            self._following[search] = (begin, found)
        return found

    def string_end(self, mark: bytes, begin: int, bound: int) -> tuple[int, int]:
        """Where a string that ``mark`` opens ends, and where what follows it begins."""
        quote = mark[-1:]
        if quote == b'"':
            end = self._closing(begin, _trailing_ones(len(mark) - 1))
            return (end, min(end + len(mark), bound)) if end < bound else (bound, bound)
        if quote == b"'":
            return self._apostrophe(len(mark) - 1, begin, bound)
        end = self.low.find(mark, begin, bound)
        return (bound, bound) if end < 0 else (end, end + len(mark))

    def trimmed(self, begin: int, end: int) -> tuple[int, int]:
        """Without the blanks at the end."""
        while end > begin and self.low[end - 1] in b" \t\r\n":
            end -= 1
        return begin, end

    def ends_word(self, at: int) -> bool:
        """Whether what ended at ``at`` is not followed by more of a word."""
        return at >= len(self.low) or self.low[at] in _AFTER_STRING

    def _closing(self, begin: int, depth: int) -> int:
        """The quotation mark that ends a string of this depth, or one around it."""
        asked, end = self._ends.get(depth, (0, -1))
        if not asked <= begin <= end:
            end = self._find_closing(begin, depth)
            self._ends[depth] = (begin, end)
        return end

    def _find_closing(self, begin: int, depth: int) -> int:
        at = begin
        while (quote := self.low.find(b'"', at)) >= 0:
            found = self._depth(quote, begin)
            joint = self._joint(quote)
            if found <= depth and not joint and self.ends_word(quote + 1):
                return max(begin, quote - (1 << found) + 1)
            at = quote + (joint or 1)
        return len(self.low)

    def _apostrophe(self, escapes: int, begin: int, bound: int) -> tuple[int, int]:
        at = begin
        while (quote := self.low.find(b"'", at, bound)) >= 0:
            slashes = self._slashes(quote, begin)
            # A shell knows no escapes within apostrophes, Python does.
            joint = self._joint(quote) if quote > begin else 0
            is_whole = not joint and self.ends_word(quote + 1)
            if is_whole and (slashes == escapes or slashes % 2 == 0):
                return max(begin, quote - escapes), quote + 1
            at = quote + (joint or 1)
        return bound, bound

    def _joint(self, quote: int) -> int:
        """How long the joint is, if what follows belongs to the same string; else 0."""
        found = _JOINT.match(self.low, quote)
        return found.end() - quote if found else 0

    def _slashes(self, quote: int, begin: int = 0) -> int:
        at = quote
        while at > begin and self.low[at - 1] == _BACKSLASH:
            at -= 1
        return quote - at

    def _depth(self, quote: int, begin: int = 0) -> int:
        r"""How deep a string's quotation mark is nested: 0 for ``"``, 1 for ``\"``, ...

        Each level doubles the backslashes of the one within and adds one; those of an
        escaped backslash before it are a multiple. So it is the number's trailing ones.
        """
        return _trailing_ones(self._slashes(quote, begin))


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1


def _closing_apostrophe(line: Line, begin: int) -> int:
    for found in _APOSTROPHE.finditer(line.low, begin):
        if found["closing"]:
            return found.start()
    return len(line.low)
