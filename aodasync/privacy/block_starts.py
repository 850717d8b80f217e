# SPDX-License-Identifier: MIT
"""How secrets of several lines begin: by the end of the line before them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aodasync.privacy.context import FLAG_START
from aodasync.privacy.vocabulary import QUOTE, SECRET_NAMES, WEAK_NAMES

__all__ = ["KEY_END", "Block", "block_begun"]

KEY_END: Final = b"-----end "
"""How the last line of a key in PEM begins, in lower case."""

_MOST_LINES: Final = 200
_MOST_MEMBERS: Final = 8
_KEY: Final = re.compile(rb"-----begin [a-z0-9 ]{0,40}?private key(?: block)?-----")
_YAML: Final = re.compile(
    SECRET_NAMES + rb"(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:[!&][^\s]{1,64}[ \t]{1,8}){0,3}"
    rb"(?P<scalar>[|>][-+0-9]{0,3})?[ \t]{0,64}(?:#[^\n]{0,256})?[\r\n]*$" % QUOTE
)
# A value that goes on in lines further in: in quotation marks that this line leaves open, or plain.
_CONTINUED: Final = re.compile(
    rb"[ \t-]{0,64}+[\"']?[a-z0-9_.-]{0,64}?"
    + SECRET_NAMES
    + rb"[\"']?[ \t]{0,8}:[ \t]{1,8}(?:(?P<mark>[\"'])[^\"'\n]*+|[^\s\"'|>{\[&!#][^\n]*+)$"
)
_SCALAR_ENDS: Final = b":=|>+-0123456789"
# A text of TOML or Python, and one of Terraform or of a shell.
_TEXT: Final = re.compile(
    SECRET_NAMES + rb"[\"']?[ \t]{0,8}[:=][ \t]{0,8}"
    rb"(?:(?P<quotes>\"{3}|'{3})[^\"'\n]{0,256}|<<[-~]?[\"']?(?P<word>[a-z][a-z0-9_]{0,31})[\"']?)"
    rb"[ \t]{0,64}[\r\n]*$"
)
# A flag, whose value is the next item of a list, or the next word of a command.
_ITEM_FLAG: Final = re.compile(
    rb"[ \t]{0,64}(?:- [\"']?|[\"'])--?[a-z0-9_-]{0,40}?" + SECRET_NAMES + rb"[\"']?,?[ \t\r\n]*$"
)
_CUT_FLAG: Final = re.compile(
    FLAG_START + rb"--?[a-z0-9_-]{0,40}?" + SECRET_NAMES + rb"[ \t]{1,8}\\[\r\n]*$"
)
_NAME: Final = re.compile(
    rb"\b(?:name|key)[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?[a-z0-9_.-]{0,40}?"
    + SECRET_NAMES
    + rb"[\"']?[ \t]{0,8},?[\r\n]*$"
)
_OPENS: Final = b">[{"
_CLOSED_BY: Final = {"element": b"</", "list": b"]", "object": b"}"}
_OPENED: Final = re.compile(
    rb"(?:(?P<element><[a-z0-9_.:-]{0,32}?(?:[ \t]{1,8}(?:name|key)=[\"'][^<>\"']{0,40}?)?)"
    rb"|(?:%b)?)"
    % QUOTE
    + SECRET_NAMES
    + rb"(?(element)[^<>]{0,256}>|(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:\[|(?P<object>\{)))"
    rb"[ \t]{0,64}[\r\n]*$" % QUOTE
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


@dataclass(slots=True)
class Block:
    """What the next lines may belong to.

    ``tag`` stands before each of its lines, and they are further in than ``indent``, where
    the kind has that; ``closed_by`` is what ends a text, an element, a list or an object.
    """

    kind: str
    tag: bytes = b""
    indent: int = 0
    lines_left: int = _MOST_LINES
    unbroken: bool = True
    closed_by: bytes = b""


def block_begun(line: bytes) -> Block | None:
    """The block that begins at the end of a line."""
    low = line.lower()
    for begin in _BEGINNINGS:
        if (block := begin(line, low)) is not None:
            return block
    return None


def _key(line: bytes, low: bytes) -> Block | None:
    found = _KEY.search(low)
    if found is None or low.find(KEY_END, found.end()) >= 0:
        return None
    return Block("key", _tag(line[: found.start()]))


def _accounts(_line: bytes, low: bytes) -> Block | None:
    found = _ACCOUNTS.match(low) if b"chpasswd" in low else None
    return Block("accounts", indent=len(found["indent"])) if found else None


def _plist_key(_line: bytes, low: bytes) -> Block | None:
    found = _PLIST_KEY.search(low) if b"<key>" in low else None
    return Block("value", lines_left=_MOST_MEMBERS) if found else None


def _variable(_line: bytes, low: bytes) -> Block | None:
    found = _VARIABLE.match(low) if b"variable" in low else None
    return Block("variable", indent=len(found["indent"])) if found else None


def _text(_line: bytes, low: bytes) -> Block | None:
    opens = b"<<" in low or b'"""' in low or b"'''" in low
    found = _TEXT.search(low) if opens else None
    return Block("text", closed_by=found["quotes"] or found["word"]) if found else None


def _argument(_line: bytes, low: bytes) -> Block | None:
    found = _ITEM_FLAG.match(low) or (b"\\" in low and _CUT_FLAG.search(low))
    return Block("argument", lines_left=1) if found else None


def _scalar(line: bytes, low: bytes) -> Block | None:
    ends = low.rstrip()[-1:] in _SCALAR_ENDS or b"#" in low
    found = _YAML.search(low) if ends else None
    if found is None:
        return None
    head = _before_word(line[: found.start()])
    tag = _tag(head.rstrip(b" \t-\"'"))
    indent = len(head) - (head.find(tag) + len(tag) if tag else 0)
    return Block("scalar" if found["scalar"] else "next", tag, indent)


def _continued(_line: bytes, low: bytes) -> Block | None:
    found = _CONTINUED.match(low.rstrip())
    if found is None or found["name"] in WEAK_NAMES:
        return None
    indent = len(low) - len(low.lstrip(b" \t-"))
    return Block("scalar" if found["mark"] else "next", indent=indent)


def _named(line: bytes, low: bytes) -> Block | None:
    found = _NAME.search(low) if b"name" in low or b"key" in low else None
    if found is None:
        return None
    head = line[: found.start()].rstrip(b" \t-\"'{")
    return Block("value", _tag(head), lines_left=_MOST_MEMBERS)


def _opened(line: bytes, low: bytes) -> Block | None:
    found = _OPENED.search(low) if low.rstrip()[-1:] in _OPENS else None
    if found is None:
        return None
    head = _before_word(line[: found.start()]).rstrip(b" \t-\"'{")
    kind = "element" if found["element"] else "list"
    if found["object"]:
        kind = "object" if found["name"].startswith(b"pass") else "value"
    return Block(kind, _tag(head), closed_by=_CLOSED_BY.get(kind, b""))


_BEGINNINGS: Final[tuple[Callable[[bytes, bytes], Block | None], ...]] = (
    _key,
    _accounts,
    _plist_key,
    _variable,
    _text,
    _argument,
    _scalar,
    _continued,
    _named,
    _opened,
)


def _before_word(head: bytes) -> bytes:
    """Without the beginning of a name that ends like that of a secret."""
    return head[: -len(word)] if (word := re.split(rb"[\s\"']", head)[-1]) else head


def _tag(head: bytes) -> bytes:
    """The last word before a block: what the log puts before each of its lines."""
    words = head.split()
    return words[-1] if words else b""
