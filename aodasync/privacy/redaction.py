# SPDX-License-Identifier: MIT
"""Secrets are replaced before anything is written: the name stays, the value is ``********``.

What counts as a secret is a table (:mod:`aodasync.privacy.contexts`), and some blocks of
several lines (:mod:`aodasync.privacy.blocks`). Text comes in chunks cut anywhere; lines
are only judged whole, so the cuts make no difference. A line beyond 8 KiB is judged in
pieces: a secret that begins in one is looked for 2 KiB beyond its end, and if it has not
ended by then, the rest of the line goes.

Lines without any of the table's needles pass by a few searches for substrings.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from aodasync.privacy.line import Line
from aodasync.privacy.vocabulary import MASK

if TYPE_CHECKING:
    from aodasync.privacy.context import Span

__all__ = [
    "CPU_BUDGET_SEC",
    "LOOK_BACK_BYTES",
    "MASK",
    "CpuBudget",
    "Redactor",
    "pause",
    "prepare",
    "redact",
    "redact_argv",
    "redact_text",
]

_CHUNK: Final = 32 * 1024
_WINDOW: Final = 8 * 1024  # one search holds the interpreter, and with it the event loop
_AHEAD: Final = 2 * 1024
_STEP: Final = _WINDOW - _AHEAD
_BEHIND: Final = 1024  # what a finder looks back at: the command, an option list
_PAUSE_SEC: Final = 0.0002
_HOLD_SEC: Final = 0.001

CPU_BUDGET_SEC: Final = 3.0
"""For one action: several times what its cap of ordinary text takes."""

LOOK_BACK_BYTES: Final = 16 * 1024
"""Before the end of a text that is cut: where a private key may begin that goes on in it."""


@cache
def _table() -> tuple[re.Pattern[bytes], Callable[[Line, int | None], Iterator[Span]]]:
    """What finds lines worth a search, and the secrets of a line.

    Imported by the first who redacts, which is to be a worker thread: its 100 regular
    expressions take 40 ms.
    """
    from aodasync.privacy import contexts  # noqa: PLC0415

    return contexts.NEEDLE, contexts.secrets


def prepare() -> None:
    """Have all there that redaction needs, in this thread."""
    _table()
    Redactor()


def pause() -> None:
    """Let the event loop in, from a worker thread.

    CPython hands the interpreter over when its holder sleeps, or after 5 ms of not letting
    go once; a thread that lets go for a read that is ready takes it back before another wakes.
    """
    time.sleep(_PAUSE_SEC)


class CpuBudget:
    """CPU time for searching lines that hold a needle; streams may share one.

    All others pass at some hundred megabytes a second, and cost no part of it.
    """

    __slots__ = ("_limit_sec", "_spent_sec")

    def __init__(self, sec: float = CPU_BUDGET_SEC) -> None:
        self._limit_sec = sec
        self._spent_sec = 0.0

    @property
    def spent(self) -> bool:
        """Whether nothing of it is left."""
        return self._spent_sec >= self._limit_sec

    def charge(self, sec: float) -> None:
        """Spend some of it; by one thread."""
        self._spent_sec += sec

    def stop(self) -> None:
        """Leave nothing of it; from any thread."""
        self._limit_sec = 0.0


class Redactor:
    """Redacts a stream: what :meth:`feed` and :meth:`finish` return, joined, is what is kept.

    At most one line, or 8 KiB of a longer one, is held back. What comes when
    ``budget`` is spent is left out and counted in ``left_out_bytes``: nothing is passed on
    without having been searched. ``between`` is called after each millisecond of searching.
    """

    def __init__(
        self, budget: CpuBudget | None = None, *, between: Callable[[], None] = lambda: None
    ) -> None:
        self.left_out_bytes = 0
        self._budget = budget or CpuBudget(math.inf)
        self._between = between
        from aodasync.privacy.blocks import Blocks  # noqa: PLC0415  # as the table, below

        self._blocks = Blocks()
        self._held = b""
        # Of a line that is too long to hold: its end so far, and the strings that are open there.
        self._behind = b""
        self._strings: tuple[tuple[int, ...], int] = ((), 0)
        self._dropping = False
        self._since_pause_sec = 0.0

    @property
    def masked_lines(self) -> int:
        """Lines that were parts of private keys and block scalars."""
        return self._blocks.masked_lines

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; returns what can be judged by now."""
        data = self._held + data
        kept = []
        at = 0
        while at < len(data) and not self._budget.spent:
            text, size = self._take(data, at)
            if not size:
                break
            kept.append(text)
            at += size
        if self._budget.spent:
            self.left_out_bytes += len(data) - at
            at = len(data)
        self._held = data[at:]
        return b"".join(kept)

    def finish(self) -> bytes:
        """The stream has ended: the rest, and a line that says how much was left out."""
        held, self._held = self._held, b""
        if self._budget.spent:
            self.left_out_bytes += len(held)
        if self.left_out_bytes:
            note = b"\n[... %d bytes left out: out of time to search them for secrets ...]\n"
            return note % self.left_out_bytes
        if not held or self._dropping:
            return b""
        if self._behind or len(held) > _WINDOW:
            return self._piece(held, whole=True)[0]
        return self._lines(held)[0]

    def _take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What is kept of the next piece, and the piece's size: 0 if it is not all there."""
        if self._dropping:
            end = data.find(b"\n", at)
            self._dropping = end < 0
            return (b"", len(data) - at) if end < 0 else (b"\n", end + 1 - at)
        end = data.find(b"\n", at, at + _WINDOW) + 1
        if end and not self._behind:
            return self._lines(data[at : data.rfind(b"\n", at, at + _CHUNK) + 1])
        if end:
            return self._piece(data[at:end], whole=True)
        if len(data) - at > _WINDOW:
            return self._clean_part(data[at : at + _CHUNK]) or self._piece(
                data[at : at + _WINDOW], whole=False
            )
        return b"", 0

    def _lines(self, data: bytes) -> tuple[bytes, int]:
        """Redact lines, as long as the budget lasts; those that are too long are not come to."""
        suspects = _suspects(data)
        kept = []
        at = 0
        while at < len(data) and not self._budget.spent:
            if not self._blocks.open:
                place = bisect_left(suspects, at)
                start = suspects[place] if place < len(suspects) else len(data)
                kept.append(data[at:start])
                at = start
            if at < len(data):
                end = data.find(b"\n", at) + 1 or len(data)
                if end - at > _WINDOW:
                    break
                kept.append(self._line(data[at:end]))
                at = end
        return b"".join(kept), at

    def _line(self, text: bytes) -> bytes:
        masked = self._blocks.masked(text)
        if masked is not None:
            return masked
        begun_sec = time.thread_time()
        kept = _masked(Line(text))
        self._blocks.begin(text)
        self._charge(time.thread_time() - begun_sec)
        return kept

    def _charge(self, sec: float) -> None:
        self._budget.charge(sec)
        self._since_pause_sec += sec
        if self._since_pause_sec > _HOLD_SEC:
            self._since_pause_sec = 0.0
            self._between()

    def _clean_part(self, data: bytes) -> tuple[bytes, int] | None:
        """The front of a line that is too long to hold, as far as it holds no needle.

        What is taken is as long as whole pieces, so that the next one begins where it would.
        """
        if self._blocks.open:
            return None
        end = data.find(b"\n")
        low = data[: end if end >= 0 else len(data)].lower()
        needle = _table()[0].search(low)
        clean = needle.start() if needle else len(low)
        size = (clean - _AHEAD - 1) // _STEP * _STEP
        if size <= 0:
            return None
        self._go_on(Line(self._behind + data[:size], len(self._behind), strings=self._strings))
        return data[:size], size

    def _go_on(self, line: Line) -> None:
        """Remember what the next piece of a line has to know of this one."""
        self._strings = line.strings_at(len(line.text))
        self._behind = line.text[-_BEHIND:]

    def _piece(self, data: bytes, *, whole: bool) -> tuple[bytes, int]:
        """The next part of a line that is too long to hold: what is kept, and its size."""
        if not self._behind and (masked := self._blocks.masked(data)) is not None:
            self._dropping = not whole
            return masked, len(data)
        begin = len(self._behind)
        line = Line(self._behind + data, begin, whole=whole, strings=self._strings)
        limit = len(line.text) - (0 if whole else _AHEAD)
        kept, at = [], begin
        begun_sec = time.thread_time()
        needles, secrets = _table()
        for start, end in secrets(line, limit):
            kept += [line.text[at:start], MASK]
            at = end
        if kept or needles.search(line.low, begin):
            self._charge(time.thread_time() - begun_sec)
        cut = len(line.text) if whole else max(at, limit)
        self._dropping = not whole and at == len(line.text)
        kept.append(line.text[at:cut])
        more = not whole and not self._dropping
        self._behind = line.text[max(0, cut - _BEHIND) : cut] if more else b""
        self._strings = line.strings_at(cut) if more else ((), 0)
        return b"".join(kept), cut - begin


def _masked(line: Line) -> bytes:
    kept, at = [], 0
    for start, end in _table()[1](line, None):
        kept += [line.text[at:start], MASK]
        at = end
    return b"".join([*kept, line.text[at:]])


def _suspects(lines: bytes) -> list[int]:
    """Where lines begin that hold a needle, in order."""
    low = lines.lower()
    needles, _ = _table()
    found = []
    end = 0
    while end >= 0 and (needle := needles.search(low, end)):
        found.append(low.rfind(b"\n", 0, needle.start()) + 1)
        end = low.find(b"\n", needle.start())
    return found


def redact(data: bytes, budget: CpuBudget | None = None) -> bytes:
    """Redact bytes that are there as a whole; with a budget, in a worker thread."""
    redactor = Redactor(budget, between=pause if budget else lambda: None)
    return redactor.feed(data) + redactor.finish()


def redact_text(text: str) -> str:
    """Redact a string."""
    return redact(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def redact_argv(argv: Iterable[str]) -> list[str]:
    """Redact the words of a command: also the one that follows ``--password``."""
    joined = "\0".join(argv).encode("utf-8", "surrogateescape")
    return _masked(Line(joined, argv=True)).decode("utf-8", "surrogateescape").split("\0")
