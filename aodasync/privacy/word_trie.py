# SPDX-License-Identifier: MIT
"""Replacing any of many names in a text, as whole words, in time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

__all__ = ["WordTrie"]

_ESCAPE: Final = r"\\{1,4}(?:[0-3][0-7]{2}|x[0-9A-Fa-f]{2}|(?= ))|%[0-9A-Fa-f]{2}"
_TOKEN: Final = re.compile(rf"[A-Za-z0-9_]+|{_ESCAPE}|.", re.DOTALL)
_START: Final = re.compile(rf"[A-Za-z0-9_]+|{_ESCAPE}|[^\x00-\x7f]|[$+~&#@!-]")
_WORD: Final = re.compile(r"[A-Za-z0-9_]")
_MOST_TOKENS: Final = 64
_ALIAS: Final = ""  # no token is empty
_STEPS_BETWEEN: Final = 10_000


class WordTrie:
    r"""Names by their words, so that a text is looked through once, however many there are.

    A name is found in any case, and with its blanks and punctuation escaped as mount
    tables (``\040``), systemd (``\x20``), shells and URLs (``%20``) have it. The longest
    name wins. One of more than 64 words is not taken. ``between`` is called now and then: a
    text may be made to begin a long name at each of its characters.
    """

    def __init__(self, between: Callable[[], None] = lambda: None) -> None:
        self._root: dict[str, Any] = {}
        self._between = between
        self._steps = 0

    def add(self, name: str, alias: str) -> None:
        """Replace ``name`` by ``alias``."""
        tokens = [_key(token) for token in _TOKEN.findall(name)]
        if not tokens or len(tokens) > _MOST_TOKENS:
            return
        node = self._root
        for token in tokens:
            node = node.setdefault(token, {})
        node[_ALIAS] = alias

    def replace(self, text: str) -> str:
        """The text with each name replaced."""
        kept = []
        done = 0
        for found in _START.finditer(text):
            begin, end = found.span()
            if begin < done:
                continue
            self._steps += 1
            if self._steps > _STEPS_BETWEEN:
                self._steps = 0
                self._between()
            node = self._root.get(_key(found[0]))
            if node is None and text[begin - 1 : begin] == "\\" and found[0][0] in "nrt":
                begin += 1  # a line's end in a string that is quoted: \nName
                node = self._root.get(_key(text[begin:end]))
            if node is not None and (match := self._longest(text, node, end)):
                kept += [text[done:begin], match[0]]
                done = match[1]
        return "".join([*kept, text[done:]])

    def _longest(self, text: str, node: dict[str, Any], at: int) -> tuple[str, int] | None:
        best = None
        while True:
            if _ALIAS in node and not _cuts_word(text, at):
                best = node[_ALIAS], at
            self._steps += 1
            token = _TOKEN.match(text, at)
            following = node.get(_key(token[0])) if token else None
            if token is None or following is None:
                # A backslash before a blank is the shell's, and no token of a name.
                if token and token[0].strip("\\") == "" and " " in node and len(token[0]) < 5:
                    at = token.end()
                    if text[at : at + 1] == " ":
                        continue
                return best
            node, at = following, token.end()


def _cuts_word(text: str, at: int) -> bool:
    return bool(_WORD.match(text, at - 1) and _WORD.match(text, at))


def _key(token: str) -> str:
    if len(token) > 2 and token[0] == "%":
        return chr(int(token[1:], 16)).lower()
    digits = token.lstrip("\\")
    if digits and len(token) > 3 and token[0] == "\\":
        number = int(digits[1:], 16) if digits[0] == "x" else int(digits, 8)
        return chr(number).lower() if number < 128 else token
    return token.lower()
