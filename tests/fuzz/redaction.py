# SPDX-License-Identifier: MIT
"""What holds for redaction and anonymising, whatever bytes they are given."""

from __future__ import annotations

import time
from typing import Final

from aodasync.privacy.aliases import Aliases
from aodasync.privacy.redaction import MASK, Redactor, prepare

__all__ = ["check"]

_FEW_BYTES: Final = 4096
_MOST_SEC: Final = 0.05
# Ten times what the worst lines that were found take.
_MOST_SEC_PER_BYTE: Final = 30e-6
_CUTS: Final = (1, 7, 64, 1000, 8191, 8192, 65536)

prepare()  # as the agent does; the first text would have the time of 100 expressions


def check(data: bytes) -> None:
    """Redact ``data`` in several ways, and anonymise it.

    Raises:
        AssertionError: it took long for its size; where it was cut made a difference; it
            was no text of masks and of parts of ``data``; masking it again showed more.
    """
    begun_sec = time.thread_time()
    once = _redacted(data, len(data) or 1)
    spent_sec = time.thread_time() - begun_sec
    assert spent_sec < _MOST_SEC + _MOST_SEC_PER_BYTE * len(data), f"{spent_sec:.3f} s"
    for cut in _CUTS:
        if len(data) // cut < _FEW_BYTES:
            assert _redacted(data, cut) == once, f"cut every {cut} bytes: other text"
    _assert_parts(once, data)
    twice = _redacted(once, len(once) or 1)
    assert len(twice.replace(MASK, b"")) <= len(once.replace(MASK, b"")), "masked again: more"
    _anonymise(data.decode("utf-8", "surrogateescape"))


def _redacted(data: bytes, step: int) -> bytes:
    redactor = Redactor()
    kept = b"".join(redactor.feed(data[at : at + step]) for at in range(0, len(data), step))
    return kept + redactor.finish()


def _assert_parts(kept: bytes, data: bytes) -> None:
    """What was kept between masks is there in the text, in the same order."""
    at = 0
    for part in kept.split(MASK):
        found = data.find(part, at)
        assert found >= 0, f"not in the text: {part[:80]!r}"
        at = found + len(part)


def _anonymise(text: str) -> None:
    begun_sec = time.thread_time()
    aliases = Aliases()
    aliases.learn(text)
    aliases.replace(text)
    spent_sec = time.thread_time() - begun_sec
    assert spent_sec < _MOST_SEC + _MOST_SEC_PER_BYTE * len(text), f"anonymise: {spent_sec:.3f} s"
