# SPDX-License-Identifier: MIT
"""Secrets of several lines: keys in PEM, block scalars of YAML, a name and its value.

So are elements of XML, and lists and objects of JSON that are closed on a later line.

Each block ends by itself, or after 200 lines: a line that somebody has logged must not
take the rest of a log with it. Programs that print such a text have each line logged
behind the same *tag* (``kubelet[7]:``); what other programs say in between is no part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aodasync.privacy.vocabulary import MASK, QUOTE, SECRET_NAMES, WEAK_NAMES

__all__ = ["Blocks"]

_MOST_LINES: Final = 200
_CLOSED_BY: Final = {"element": b"</", "list": b"]", "object": b"}"}
_MOST_MEMBERS: Final = 8
_BEGIN: Final = re.compile(rb"-----begin [a-z0-9 ]{0,40}?private key(?: block)?-----")
_END: Final = b"-----end "
_KEY_LINE: Final = re.compile(rb"[^\s]{1,200}+")
_LONG_KEY_LINE: Final = re.compile(rb"[A-Za-z0-9+/=]{40,200}+")
_YAML: Final = re.compile(
    SECRET_NAMES + rb"(?:%b)?[ \t]{0,8}:[ \t]{0,8}(?:[!&][^\s]{1,64}[ \t]{1,8}){0,3}"
    rb"(?P<scalar>[|>][-+0-9]{0,3})?[ \t]{0,64}(?:#[^\n]{0,256})?[\r\n]*$" % QUOTE
)
# A value that goes on in lines further in: in quotation marks that this line leaves open, or plain.
_CONTINUED: Final = re.compile(
    rb"[ \t-]{0,64}+[\"']?[a-z0-9_.-]{0,64}?"
    + SECRET_NAMES
    + rb"[\"']?[ \t]{0,8}:[ \t]{1,8}(?:(?P<mark>[\"'])[^\"'\n]*+|[^\s\"'|>{\[&!#][^\n]*+)$"
)
_OPENS: Final = b">[{"
_SCALAR_ENDS: Final = b":|>+-0123456789"
# Samba dumps a key below the line that names it, wherever that begins.
_DUMP: Final = re.compile(rb"\[?[0-9a-fA-F]{4,8}(?:\]|:)[ \t]{1,4}(?:[0-9a-fA-F]{2}[ \t]{1,4}){4}")
_ITEM: Final = re.compile(rb"[\"']?[A-Za-z_][A-Za-z0-9_.-]{0,64}[\"']?:(?:\s|$)")
_NAME: Final = re.compile(
    rb"\bname[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?[a-z0-9_.-]{0,40}?"
    + SECRET_NAMES
    + rb"[\"']?[ \t]{0,8},?[\r\n]*$"
)
_OPENED: Final = re.compile(
    rb"(?:(?P<element><[a-z0-9_.:-]{0,32}?)|(?:%b)?)" % QUOTE
    + SECRET_NAMES
    + rb"(?(element)[^<>]{0,256}>|(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:\[|(?P<object>\{)))"
    rb"[ \t]{0,64}[\r\n]*$" % QUOTE
)
_VALUE: Final = re.compile(
    rb"(?:- )?[\"']?value[\"']?[ \t]{0,8}[:=][ \t]{0,8}|<(?:string|data)>", re.IGNORECASE
)
# A property list of macOS, a variable of Terraform, cloud-init's passwords of accounts.
_PLIST_KEY: Final = re.compile(
    rb"<key>[a-z0-9_. -]{0,40}?" + SECRET_NAMES + rb"</key>[ \t]{0,64}[\r\n]*$"
)
_VARIABLE: Final = re.compile(
    rb"(?P<indent>[ \t]{0,64})variable[ \t]{1,8}\"[a-z0-9_-]{0,40}?"
    + SECRET_NAMES
    + rb"\"[ \t]{0,8}\{[ \t]{0,64}[\r\n]*$"
)
_ACCOUNTS: Final = re.compile(rb"(?P<indent>[ \t-]{0,64})chpasswd:[ \t]{0,64}[\r\n]*$")
_MEMBERS: Final = {
    "variable": re.compile(rb"default[ \t]{0,8}=[ \t]{0,8}"),
    "accounts": re.compile(rb"(?:- )?[\"']?[A-Za-z_][A-Za-z0-9_.-]{0,64}:(?=[^\s])"),
}


@dataclass(slots=True)
class _Block:
    kind: str
    tag: bytes
    indent: int = 0
    lines_left: int = _MOST_LINES
    unbroken: bool = True


class Blocks:
    """The block that the current line may belong to; ``masked_lines`` counts those that did."""

    def __init__(self) -> None:
        self._block: _Block | None = None
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
        low = line.lower()
        if (found := _BEGIN.search(low)) and low.find(_END, found.end()) < 0:
            self._block = _Block("key", _tag(line[: found.start()]))
        elif b"chpasswd" in low and (found := _ACCOUNTS.match(low)):
            self._block = _Block("accounts", b"", len(found["indent"]))
        elif b"<key>" in low and (found := _PLIST_KEY.search(low)):
            self._block = _Block("value", b"", lines_left=_MOST_MEMBERS)
        elif b"variable" in low and (found := _VARIABLE.match(low)):
            self._block = _Block("variable", b"", len(found["indent"]))
        elif (low.rstrip()[-1:] in _SCALAR_ENDS or b"#" in low) and (found := _YAML.search(low)):
            head = _before_word(line[: found.start()])
            tag = _tag(head.rstrip(b" \t-\"'"))
            indent = len(head) - (head.find(tag) + len(tag) if tag else 0)
            self._block = _Block("scalar" if found["scalar"] else "next", tag, indent)
        elif (found := _CONTINUED.match(low.rstrip())) and found["name"] not in WEAK_NAMES:
            indent = len(low) - len(low.lstrip(b" \t-"))
            self._block = _Block("scalar" if found["mark"] else "next", b"", indent)
        elif b"name" in low and (found := _NAME.search(low)):
            head = line[: found.start()].rstrip(b" \t-\"'{")
            self._block = _Block("value", _tag(head), lines_left=_MOST_MEMBERS)
        elif low.rstrip()[-1:] in _OPENS and (found := _OPENED.search(low)):
            head = _before_word(line[: found.start()]).rstrip(b" \t-\"'{")
            kind = "element" if found["element"] else "list"
            if found["object"]:
                kind = "object" if found["name"].startswith(b"pass") else "value"
            self._block = _Block(kind, _tag(head), lines_left=_MOST_LINES)

    def _secret(self, block: _Block, line: bytes, at: int, begin: int, end: int) -> int:
        """Where the secret begins in this line; -1 where there is none."""
        text = line[begin:end]
        if block.kind == "key":
            return self._in_key(block, text, begin)
        if block.kind in _CLOSED_BY:
            return self._in_brackets(block, text, begin)
        if block.kind == "value":
            return self._in_members(text, begin)
        if block.kind == "next" and _DUMP.match(text):
            return begin
        item = block.kind == "next" and begin - at == block.indent and text.startswith(b"- ")
        if text and begin - at <= block.indent and not item:
            self._block = None
        if not text or self._block is None:
            return -1
        return self._in_indented(block, text, begin)

    def _in_members(self, text: bytes, begin: int) -> int:
        found = _VALUE.match(text)
        if found or not text or text[:1] in b"{}[]-":
            self._block = None
        return begin + found.end() if found else -1

    def _in_indented(self, block: _Block, text: bytes, begin: int) -> int:
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

    def _in_brackets(self, block: _Block, text: bytes, begin: int) -> int:
        closed = text.find(_CLOSED_BY[block.kind])
        if closed >= 0:
            self._block = None
        return begin if text and closed else -1

    def _in_key(self, block: _Block, text: bytes, begin: int) -> int:
        if _END in text.lower():
            self._block = None
            return -1
        pattern = _KEY_LINE if block.unbroken else _LONG_KEY_LINE
        if pattern.fullmatch(text):
            return begin
        # Empty lines and headers (Proc-Type: 4,ENCRYPTED) are part of a key.
        if text and not _ITEM.match(text):
            block.unbroken = False
        return -1


def _before_word(head: bytes) -> bytes:
    """Without the beginning of a name that ends like that of a secret."""
    return head[: -len(word)] if (word := re.split(rb"[\s\"']", head)[-1]) else head


def _tag(head: bytes) -> bytes:
    """The last word before a block: what the log puts before each of its lines."""
    words = head.split()
    return words[-1] if words else b""
