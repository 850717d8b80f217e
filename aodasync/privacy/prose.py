# SPDX-License-Identifier: MIT
"""Secrets in sentences ("the password is X"), and sentences that only speak of secrets.

Most sentences about passwords are evidence: "password has expired". So a word of prose is
only masked if it looks as passwords do and words do not: of several kinds of characters.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from aodasync.privacy.context import Span, context
from aodasync.privacy.line import Line
from aodasync.privacy.vocabulary import KEPT, NUMBER

__all__ = ["PROSE", "is_message", "next_message", "password_word"]

_PASSWORD: Final = (
    rb"(?:pass(?:word|wd|phrase|code|wort)|kennwort|wachtwoord|contrase\xc3\xb1a|senha"
    rb"|mot de passe)"
)
_WORD: Final = re.compile(rb"[^\s\0(){}\[\],;\"'`<>|]{4,256}+(?!\()")
_END: Final = b".:"
_KINDS: Final = tuple(
    re.compile(kind) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[!@#$%^&*+=?~\x80-\xff]")
)
# Numbers, dates, statuses, flags, paths, settings, addresses of mail.
_NO_PASSWORD: Final = re.compile(
    rb"(?:%b)(?![^/])|(?:%b)$|(?:nt_)?status_.*|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9][0-9:.,/-]+[a-z]{0,2}"
    rb"|(?:aes|cram|des|ip|krb|lm|md|nfs|ntlm|rc|sha|smb|ssl|tls|utf)[-_v]{0,2}[0-9].*"
    rb"|[-/.~\\*%%$].*|[a-z][a-z0-9_.-]*=.*|[^@]+@[a-z0-9-]+\.[a-z0-9.-]+|[a-z]+://.*"
    % (NUMBER, KEPT)
)
_ERRORS: Final = frozenset(os.strerror(code).lower().encode() for code in errno.errorcode)
_MESSAGE: Final = re.compile(
    rb"(?:(?:%b)(?![a-z0-9])"
    rb"|secrets? \\{0,8}\"[a-z0-9.-]{1,253}\\{0,8}\" (?:not found|is forbidden))"
    % b"|".join(map(re.escape, sorted(_ERRORS, reverse=True)))
)


_COLON: Final = re.compile(rb":[ \t]")


def next_message(line: Line, begin: int) -> int:
    """Where ": permission denied" and the like begins: a program's own words behind a value."""
    for found in _COLON.finditer(line.low, begin):
        if _MESSAGE.match(line.low, found.end()):
            return found.start()
    return len(line.low)


def is_message(line: Line, at: int) -> bool:
    """Whether an error's text begins here: "could not read password: Interrupted system call"."""
    return _MESSAGE.match(line.low, at) is not None


def _said(line: Line, match: re.Match[bytes]) -> Span | None:
    """A word behind "is" and the like: of two kinds of characters, one of them digits."""
    return password_word(line, match.end())


def _beside(line: Line, match: re.Match[bytes]) -> Span | None:
    """A word right behind: of three kinds of characters."""
    return password_word(line, match.end(), least_kinds=3)


def _prompted(line: Line, match: re.Match[bytes]) -> Span | None:
    """What was typed behind a prompt, or what a message says there."""
    if is_message(line, match.end()) or line.low.startswith((b"nt_", b"*"), match.end()):
        return None
    alone = line.low[: match.start()].rstrip().endswith((b":", b'"', b"'", b"enter"))
    if alone or not line.low[: match.start()].strip():
        return line.trimmed(match.end(), line.bound(match.end()))
    return password_word(line, match.end())


def password_word(line: Line, begin: int, least_kinds: int = 2) -> Span | None:
    """The word there, if it looks as passwords do and words do not."""
    found = _WORD.match(line.text, begin, line.bound(begin))
    if found is None:
        return None
    begin, end = found.span()
    while end > begin and line.low[end - 1] in _END:
        end -= 1
    kinds = [kind.search(line.text, begin, end) is not None for kind in _KINDS]
    if sum(kinds) < least_kinds or not (kinds[2] or kinds[3]):
        return None
    return None if _NO_PASSWORD.fullmatch(line.low, begin, end) else (begin, end)


def _behind_user(line: Line, match: re.Match[bytes]) -> Span | None:
    """Up to the blank, bracket or quotation mark; what is percent-encoded is none."""
    found = _WORD_END.search(line.low, match.end(), line.bound(match.end()))
    end = found.start() if found else line.bound(match.end())
    encoded = _PERCENT.match(line.low, match.end()) and b"\\" not in match[0]
    return None if encoded else (match.end(), end)


def _changed(line: Line, match: re.Match[bytes]) -> Span | None:
    """Both words, if either looks as passwords do."""
    either = password_word(line, match.start("old")) or password_word(line, match.start("new"))
    return (match.start("old"), match.end("new")) if either else None


def _told_by_squid(_line: Line, match: re.Match[bytes]) -> Span:
    return match.span("value")


_WORD_END: Final = re.compile(rb"[\s\])\"']")
_PERCENT: Final = re.compile(rb"[0-9a-f]{2}")
_NAME: Final = rb"[^\s%:/\[\"']{1,128}+"
_OWNER: Final = rb"[ \t](?:for|of)[ \t](?:user[ \t])?[^\s:]{1,128}+"

_NEEDLES: Final = (b"pass", b"kennwort", b"wachtwoord", b"contrase", b"senha")

PROSE: Final = (
    context(
        "password is X, password changed to X",
        (*_NEEDLES, b"secret", b"authtok"),
        rb"(?:"
        + _PASSWORD
        + rb"|secret|authtok)s?(?:"
        + _OWNER
        + rb")?(?:[ \t](?:has|have|been|now|changed"
        rb"|set|reset|being|is|was|ist|as|to|value|=)){1,5}[ \t]{1,4}[\[(<]?+",
        _said,
    ),
    context(
        "password changed from X to Y",
        _NEEDLES,
        _PASSWORD
        + rb"(?:"
        + _OWNER
        + rb")?(?:[ \t](?:was|is|has|been|changed|reset|updated)){0,4}[ \t]from[ \t][\"'`]?"
        rb"(?P<old>[^\s\"'`]{1,256})[\"'`]?[ \t]to[ \t][\"'`]?(?P<new>[^\s\"'`]{1,256})",
        _changed,
    ),
    context(
        "Password for USER: X",
        (b"pass",),
        _PASSWORD + _OWNER + rb":[ \t]{1,8}(?=[^\s])",
        _prompted,
    ),
    context(
        "authenticate user NAME%X, as wbinfo says it",
        (b"%",),
        rb"\b(?:(?:user|username|account)[ \t][\[\"']?|for \[)(?![0-9])%b(?:/%b)?%%(?=[^\s%%,;.)])"
        % (_NAME, _NAME),
        _behind_user,
    ),
    context(
        "Got 'USER X' from squid, as ntlm_auth says it",
        (b"' from squid",),
        rb"\bgot '[^'\s]{1,128} (?P<value>[^\n]{1,256}?)' from squid",
        _told_by_squid,
    ),
    context(
        "with the password X",
        (*_NEEDLES, b"pw ["),
        rb"(?:(?<![a-z0-9_-])"
        + _PASSWORD
        + rb"|\b(?:user(?:name)?|login)[ \t:=]{1,4}[^\s]{1,64}+[ \t](?:(?:and|with) )?pass)"
        rb"[ \t]{0,4}[ \t\[(](?=[^\s\[(=:])|(?<![a-z0-9_-])pw[ \t]\[",
        _beside,
    ),
)
"""The contexts of prose."""
