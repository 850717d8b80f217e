# SPDX-License-Identifier: MIT
"""Secrets of several lines: keys in PEM, block scalars of YAML, a name and its value.

So are elements of XML, lists and objects of JSON that are closed on a later line, texts in
three quotation marks or up to a word, and a flag whose value is the next word of a list or of
a command.

Each block ends by itself, or after 200 lines: a line that somebody has logged must not
take the rest of a log with it. Programs that print such a text have each line logged
behind the same *tag* (``kubelet[7]:``); what other programs say in between is no part of it.
"""

from __future__ import annotations

import re
from typing import Final

from aodasync.privacy.block_starts import KEY_END, Block, block_begun
from aodasync.privacy.vocabulary import MASK

__all__ = ["Blocks"]

_KEY_LINE: Final = re.compile(rb"[^\s]{1,200}+")
_LONG_KEY_LINE: Final = re.compile(rb"[A-Za-z0-9+/=]{40,200}+")
# Samba dumps a key below the line that names it, wherever that begins.
_DUMP: Final = re.compile(rb"\[?[0-9a-fA-F]{4,8}(?:\]|:)[ \t]{1,4}(?:[0-9a-fA-F]{2}[ \t]{1,4}){4}")
_ITEM: Final = re.compile(rb"[\"']?[A-Za-z_][A-Za-z0-9_.-]{0,64}[\"']?:(?:\s|$)")
_ARGUMENT: Final = re.compile(rb"(?:- )?[\"']?(?=[^\s\"'-])")
_VALUE: Final = re.compile(
    rb"(?:- )?[\"']?value[\"']?[ \t]{0,8}[:=][ \t]{0,8}|<(?:string|data)>", re.IGNORECASE
)
_MEMBERS: Final = {
    "variable": re.compile(rb"default[ \t]{0,8}=[ \t]{0,8}"),
    "accounts": re.compile(rb"(?:- )?[\"']?[A-Za-z_][A-Za-z0-9_.-]{0,64}:(?=[^\s])"),
}


class Blocks:
    """The block that the current line may belong to; ``masked_lines`` counts those that did."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._kinds = {
            "key": self._in_key,
            "value": self._in_members,
            "text": self._in_text,
            "argument": self._in_argument,
            "element": self._in_brackets,
            "list": self._in_brackets,
            "object": self._in_brackets,
        }
        self.masked_lines = 0

    @property
    def open(self) -> bool:
        """Whether the next line may belong to a block."""
        return self._block is not None

    def masked(self, line: bytes) -> bytes | None:
        """The line without its secret, if it belongs to a block; None: to be searched as usual."""
        block = self._block
        if block is None:
            return None
        block.lines_left -= 1
        if block.lines_left < 0:
            self._block = None
            return None
        at = 0
        if block.tag:
            at = line.find(block.tag) + len(block.tag)
            if at < len(block.tag):
                block.unbroken = False
                return None
        end = len(line.rstrip(b" \t\r\n"))
        begin = at + len(line[at:end]) - len(line[at:end].lstrip(b" \t"))
        begin = self._secret(block, line, at, begin, end)
        if not 0 <= begin < end:
            return None
        self.masked_lines += 1
        return line[:begin] + MASK + line[end:]

    def begin(self, line: bytes) -> None:
        """Look whether a block begins at the end of a line."""
        self._block = block_begun(line) or self._block

    def _secret(self, block: Block, line: bytes, at: int, begin: int, end: int) -> int:
        """Where the secret begins in this line; -1 where there is none."""
        text = line[begin:end]
        if kind := self._kinds.get(block.kind):
            return kind(block, text, begin)
        if block.kind == "next" and _DUMP.match(text):
            return begin
        item = block.kind == "next" and begin - at == block.indent and text.startswith(b"- ")
        if text and begin - at <= block.indent and not item:
            self._block = None
        if not text or self._block is None:
            return -1
        return self._in_indented(block, text, begin)

    def _in_members(self, _block: Block, text: bytes, begin: int) -> int:
        found = _VALUE.match(text)
        if found or not text or text[:1] in b"{}[]-":
            self._block = None
        return begin + found.end() if found else -1

    def _in_indented(self, block: Block, text: bytes, begin: int) -> int:
        if member := _MEMBERS.get(block.kind):
            found = member.match(text)
            return begin + found.end() if found else -1
        if block.kind == "next":
            item = 2 if text.startswith(b"- ") else 0
            if _ITEM.match(text, item):
                self._block = None
                return -1
            begin += item
        return begin

    def _in_brackets(self, block: Block, text: bytes, begin: int) -> int:
        closed = text.find(block.closed_by)
        if closed >= 0:
            self._block = None
        return begin if text and closed else -1

    def _in_text(self, block: Block, text: bytes, begin: int) -> int:
        mark, low = block.closed_by, text.lower()
        if low == mark or (mark[:1] in b"\"'" and mark in low):
            self._block = None
        return -1 if low == mark else begin

    def _in_argument(self, _block: Block, text: bytes, begin: int) -> int:
        self._block = None
        found = _ARGUMENT.match(text)
        return begin + found.end() if found else -1

    def _in_key(self, block: Block, text: bytes, begin: int) -> int:
        if KEY_END in text.lower():
            self._block = None
            return -1
        pattern = _KEY_LINE if block.unbroken else _LONG_KEY_LINE
        if pattern.fullmatch(text):
            return begin
        # Empty lines and headers (Proc-Type: 4,ENCRYPTED) are part of a key.
        if text and not _ITEM.match(text):
            block.unbroken = False
        return -1
