# SPDX-License-Identifier: MIT
"""Secrets are replaced before anything is written: the key stays, the value is ``********``.

What is a secret:

1. ``password=``, ``pass=``, ``password2=``, ``PASSWD=``, ``credentials=``, ``secret=``,
   ``token=`` and their like, in any case; with a colon only as whole words
   (``Password: x``, ``"token": "x"``). The value ends at a comma (a doubled one is
   part of it: the kernel's escape), or before a path, or at the end of the line: a
   password may hold spaces, and to lose a word of evidence is better than to tell
   half of a password. Where the key begins the line (a credentials file), all of the
   line is the value.
2. Session, signing and encryption keys in hexadecimal, as cifs dumps them
   (CONFIG_CIFS_DEBUG_DUMP_KEYS); private keys in PEM; ``Authorization`` headers; JSON
   web tokens.
3. ``user%password`` of mount options and smbclient, ``//user:password@host`` of URLs,
   the payload of a keyring's logon key; audit's hexadecimal ``proctitle=`` and
   arguments, if what they encode holds a secret.

``PWD=/...`` is left alone: sudo logs the working directory so.

Text comes in chunks cut anywhere. Lines are only judged whole, so the cuts do not
matter; a line beyond 16 KiB is judged in pieces that overlap. Bytes that hold none of
the words above pass by a few searches for substrings.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MASK", "Redactor", "redact", "redact_text"]

MASK: Final = b"********"

# One search of a line holds the interpreter to its end, and with it the event loop.
_LONGEST_LINE: Final = 16 * 1024
_OVERLAP: Final = 256  # longer than any key with its separator

# Lower-case words without which no pattern below can match; all within one line.
_NEEDLES: Final = (
    *(b"pass", b"pwd", b"cred", b"secret", b"token", b"key", b"authorization", b"sig="),
    *(b"proctitle=", b"execve", b"eyj", b"%", b"@", b"logon", b"bearer"),
)

_WORDS: Final = (
    rb"(?:pass(?:word|wd|phrase|code)?[0-9]?|pwd(?!=/)|cred(?:ential)?s?|secret|token"
    rb"|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|sharedaccesssignature|sig)"
)
_FULL_WORDS: Final = rb"(?:password[0-9]?|passwd|passphrase|secret|token|api[_-]?key|authorization)"
_QUOTED: Final = rb"\"(?:[^\"\\\n]|\\.)*\"?(?:,,|[^,\s])*|'[^'\n]*'?(?:,,|[^,\s])*"
_WORD: Final = rb"(?:,,|[^,\s])+"
_VALUE: Final = rb"(?:" + _QUOTED + rb"|" + _WORD + rb"(?:[ \t]+(?![/\\])" + _WORD + rb")*)"
_HEX: Final = rb"(?:0x)?[0-9a-f]{2}(?:[ :-]?[0-9a-f]{2}){7,}"
_KEY_NAMES: Final = (
    rb"(?:session|sign(?:ing)?|(?:en|de)cryption|server[ _-]?(?:in|out)|server|application|auth"
    rb"|ntlmv2|smb3?)"
)

_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # A line that begins with the key: a credentials file, an environment file.
        rb"^(?P<key>[ \t]*(?:export[ \t]+)?" + _WORDS + rb"[ \t]*=[ \t]*)\S[^\n]*",
        rb"(?P<key>" + _WORDS + rb"[\"']?[ \t]{0,8}=[ \t]{0,8})" + _VALUE,
        rb"(?P<key>" + _FULL_WORDS + rb"[\"']?[ \t]{0,8}:[ \t]{1,8})" + _VALUE,
        rb"(?P<key>" + _KEY_NAMES + rb"[ _-]?(?:key|hash)[ \t]*[:=]?[ \t]*)" + _HEX,
        rb"(?P<key>\bbearer[ \t]+)[A-Za-z0-9._~+/=-]+",
        rb"(?P<key>\b)eyJ[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
        rb"(?P<key>\buser(?:name)?=[^,%\s]{0,256}%)" + _VALUE,
        rb"(?P<key>(?:^|\s)(?:-U|--user)[ \t=]*['\"]?[^\s%'\"]{1,256}%)" + _WORD,
        rb"(?P<key>//[^\s/:@]{1,128}:)[^\s/@]{1,256}(?=@)",
        rb"(?P<key>\blogon[ \t]+\S{1,256}[ \t]+)[^\n]+",
    )
)
_AUDIT: Final = re.compile(
    rb"(\b(?:proctitle|a[0-9]{1,3})=)((?:[0-9A-Fa-f]{2}){6,})(?![0-9A-Za-z])"
)
_PEM: Final = re.compile(rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----)")
_PEM_END: Final = re.compile(rb"-----END [A-Z ]*PRIVATE KEY-----")


class Redactor:
    """Redacts a stream: what :meth:`feed` and :meth:`finish` return, joined, is what is kept.

    At most one line, or 16 KiB of a longer one, is held back.
    """

    def __init__(self) -> None:
        self._held = b""
        self._in_pem = False
        self._in_value = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; returns what can be judged by now."""
        data = self._held + data
        whole = data.rfind(b"\n") + 1
        ready = self._judge(data[:whole]) if whole else b""
        self._held = data[whole:]
        if len(self._held) > _LONGEST_LINE:
            ready += self._judge_piece()
        return ready

    def finish(self) -> bytes:
        """The stream has ended: the rest."""
        held, self._held = self._held, b""
        return self._judge(held) if held else b""

    def _judge(self, lines: bytes) -> bytes:
        lines = self._skip_pem(self._skip_value(lines))
        if b"PRIVATE KEY-----" in lines:
            lines = self._mask_pem(lines)
        parts = []
        done = 0
        for start, end in _suspects(lines):
            parts += [lines[done:start], _AUDIT.sub(_decoded, _mask(lines[start:end]))]
            done = end
        return b"".join([*parts, lines[done:]])

    def _judge_piece(self) -> bytes:
        """The front of a line that is too long to be held; a match is never cut."""
        piece = self._skip_value(self._held)
        cut = max(0, len(piece) - _OVERLAP)
        unfinished = False
        if not self._in_pem and not _suspects(piece):
            self._held = piece[cut:]
            return piece[:cut]
        for pattern in _PATTERNS:
            for match in pattern.finditer(piece):
                # One byte more: a pattern may have looked at what follows its match.
                if match.end() >= cut:
                    cut = min(match.end() + 1, len(piece))
                    unfinished = unfinished or match.end() == len(piece)
        self._held = piece[cut:]
        kept = self._judge(piece[:cut])
        self._in_value = self._in_value or unfinished
        return kept

    def _skip_value(self, data: bytes) -> bytes:
        """Drop what is left of a value that a piece ended in."""
        if not self._in_value:
            return data
        end = data.find(b"\n")
        if end < 0:
            return b""
        self._in_value = False
        return data[end:]

    def _skip_pem(self, lines: bytes) -> bytes:
        if not self._in_pem:
            return lines
        end = _PEM_END.search(lines)
        if end is None:
            return b""
        self._in_pem = False
        return lines[end.start() :]

    def _mask_pem(self, lines: bytes) -> bytes:
        parts = []
        while begin := _PEM.search(lines):
            parts.append(lines[: begin.end()] + b"\n" + MASK + b"\n")
            self._in_pem = True
            lines = self._skip_pem(lines[begin.end() :])
        return b"".join([*parts, lines])


def _mask(line: bytes) -> bytes:
    for pattern in _PATTERNS:
        line = pattern.sub(rb"\g<key>" + MASK, line)
    return line


def _decoded(match: re.Match[bytes]) -> bytes:
    """Audit writes what holds a space or a NUL in hexadecimal: a mount's whole command line."""
    plain = bytes.fromhex(match[2].decode("ascii")).replace(b"\0", b" ")
    return match[0] if _mask(plain) == plain else match[1] + MASK


def _suspects(lines: bytes) -> list[tuple[int, int]]:
    """Where lines begin and end that hold one of the words."""
    lowered = lines.lower()
    found = set()
    for needle in _NEEDLES:
        at = lowered.find(needle)
        while at >= 0:
            end = lowered.find(b"\n", at)
            end = len(lowered) if end < 0 else end
            found.add((lowered.rfind(b"\n", 0, at) + 1, end))
            at = lowered.find(needle, end)
    return sorted(found)


def redact(data: bytes) -> bytes:
    """Redact bytes that are there as a whole."""
    redactor = Redactor()
    return redactor.feed(data) + redactor.finish()


def redact_text(text: str) -> str:
    """Redact a string."""
    return redact(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
