# SPDX-License-Identifier: MIT
"""What follows a trigger of :mod:`aodasync.privacy.contexts`: where the secret lies, or None.

A finder looks at a bounded number of bytes, or at bytes that it then claims as a value:
that keeps the search linear in the length of a line.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

from aodasync.privacy import mount_options, values
from aodasync.privacy.context import Span
from aodasync.privacy.line import Line
from aodasync.privacy.vocabulary import NUMBER, QUOTE, SECRET_NAMES, WEAK_NAMES

__all__ = [
    "call_argument",
    "claimed",
    "element",
    "flag_word",
    "json_web_token",
    "named",
    "netrc",
    "option_percent",
    "paired",
    "private_key",
    "quoted",
    "rest",
    "unknown_parameter",
    "url_userinfo",
    "web_token",
]

_NUMBER: Final = re.compile(NUMBER)
_LOGIN: Final = re.compile(
    rb"(?:^|[\s\0\"'])(?:login|machine|account|default(?=[ \t]+login))[ \t]{1,8}[^\s]{1,128}[ \t]*$"
)
_BLANK: Final = re.compile(rb"[\s\0]")
_HOST_BEHIND: Final = re.compile(rb"@(?=[^\s@/\"']{1,255}/)")
_MOUNTING: Final = re.compile(rb"mount|cifs|smb3|fstab")
_OTHER_FILE_SYSTEM: Final = re.compile(
    rb"\b(?:btrfs|ext[234]|exfat|fat|f2fs|fuse|iso9660|nfs4?|ntfs3?|overlay(?:fs)?|proc|ramfs|tmpfs"
    rb"|vfat|xfs)(?: \([^\s()]{1,64}\))?: $"
)
_PAIR: Final = re.compile(
    rb"(?:%b)?[a-z0-9_.-]{1,64}(?:%b)?[ \t]{0,8}[,;]?[ \t]{0,8}(?:%b)?value(?:%b)?[ \t]{0,8}[:=]"
    rb"|(?:%b)?[a-z0-9_.-]{0,40}?%b(?:%b|(?=[\s,}\]]|$))"
    % (QUOTE, QUOTE, QUOTE, QUOTE, QUOTE, SECRET_NAMES, QUOTE)
)
_PROSE: Final = frozenset(
    b"and authentication by change changed did expired expires expiry failed for from has in is "
    b"logon must needs not of on or policy reset server set the to was will with".split()
)
# The kernel and libraries put the name of a function before a message.
_FUNCTION: Final = re.compile(
    rb"(?:\bvfs: |\bcifs: |\.c: |routines:)(?:\\\\[^\s]{1,64} )?[a-z0-9_]{1,48}$"
)
_PLIST: Final = re.compile(
    rb"[a-z0-9_. -]{1,64}</key>[ \t]{0,8}<(?:string|data|integer)>"
    rb"|[a-z0-9_. -]{0,40}?%b</key>[ \t\r\n]*$" % SECRET_NAMES
)
_TAG: Final = re.compile(rb"[ \t]{0,8}(?:<|&lt;)[a-z]")
_KEY_FILE: Final = re.compile(rb"[a-z0-9_.-]{1,64}\.(?:asc|cer|crt|der|gpg|key|p12|pem|pfx|pub)")
_SWITCH: Final = re.compile(rb"--?(?:stdin|ask|prompt|skip)[_-]")
_SMB_PORT: Final = re.compile(rb"(?:139|445)[/?#]")
_PORT: Final = re.compile(rb"[0-9]{1,5}[/?#]")
_KEY_BODY: Final = re.compile(rb"(?:[a-z0-9+/=]|\\{1,8}[rn]|[ \t\r])*+")


def rest(line: Line, match: re.Match[bytes]) -> Span | None:
    """All that follows, up to the end of the string that it lies in."""
    return line.trimmed(match.end(), line.bound(match.end()))


def claimed(_line: Line, match: re.Match[bytes]) -> Span | None:
    """The trigger has found the value itself: its group of that name."""
    return match.span("value")


def named(line: Line, match: re.Match[bytes]) -> Span | None:
    """A name, a separator, a value."""
    start, value = match.start(), match.end()
    if b"status_" in line.low[max(0, start - 24) : start]:
        return None  # the name of an NTSTATUS, not of a secret
    if line.low.startswith(b' key="', start - 1) and line.low.find(b"audit(", 0, 256) >= 0:
        return None  # the name of an audit rule
    if (
        match["separator"] == b":"
        and not match["name"].startswith((b"pass", b"pw", b"secret"))
        and _FUNCTION.search(line.low, max(0, start - 128), start)
    ):
        return None  # the name of a function
    if match["name"] == b"sas" and match["separator"] == b":" and not match["closing"]:
        return None  # a driver of disks; a signature within it has a name of its own
    if match["name"] == b"key" and _PAIR.match(line.low, value):
        return None  # key="username" value="u1", or the key of a secret that is referred to
    key = values.Key(
        start=start,
        value=value,
        bound=line.bound(value),
        strong=match["name"] not in WEAK_NAMES,
        closing=match["closing"] or b"",
        separator=match["separator"],
    )
    return values.key_value(line, key)


def paired(line: Line, match: re.Match[bytes]) -> Span | None:
    """The value that follows a name in another member, attribute or element."""
    if match[0].endswith(b">"):
        return _up_to_tag(line, match.end(), b"<")
    return _word(line, match)


def flag_word(line: Line, match: re.Match[bytes]) -> Span | None:
    """The word behind ``--password``."""
    if _SWITCH.match(match[0]):
        return None
    begin, end = values.shell_word(line, match.end(), line.bound(match.end()))
    if line.low.startswith(b"--", begin) or (
        line.low[begin : begin + 1] == b"-" and end - begin == 2
    ):
        return None  # another flag
    if match["name"] in WEAK_NAMES and (
        line.low[begin : begin + 1] in b"/."
        or _KEY_FILE.fullmatch(line.low, begin, end)
        or _is_number(line, begin, end)
    ):
        return None  # --key FILE, --pass 2
    return begin, end


def call_argument(line: Line, match: re.Match[bytes]) -> Span | None:
    """``fsconfig(3, FSCONFIG_SET_STRING, "password", "X", 0)``; in a list it is no value."""
    head = line.low[max(0, match.start() - 128) : match.start()]
    return _word(line, match) if head.rfind(b"(") > head.rfind(b"[") else None


def netrc(line: Line, match: re.Match[bytes]) -> Span | None:
    """``machine HOST login USER password X``; or ``password X`` as a line of its own."""
    start, value = match.start(), match.end()
    begin, end = values.shell_word(line, value, line.bound(value))
    if line.low[begin:end] in _PROSE:
        return None
    alone = not line.begin and not line.low[:start].strip() and not line.low[end:].strip()
    head = line.low[max(0, start - 160) : start]
    return (begin, end) if (alone and line.whole) or _LOGIN.search(head) else None


def quoted(line: Line, match: re.Match[bytes]) -> Span | None:
    """A string that the trigger's last character opens."""
    begin = match.end()
    return begin, line.string_end(match[0][-1:], begin, len(line.low))[0]


def option_percent(line: Line, match: re.Match[bytes]) -> Span | None:
    """``username=u%X`` as a mount option."""
    return mount_options.option_value(line, match.end(), line.bound(match.end()))


def url_userinfo(line: Line, match: re.Match[bytes]) -> Span | None:
    """``//u:pre/X@host``: up to the last ``@`` of the word."""
    begin = match.end()
    if match[0].startswith(b"%"):
        at = line.low.find(b"%40", begin, line.word_end(begin))
        return None if at < 0 else (begin, at)
    if line.low.endswith((b"smb:", b"cifs:"), 0, match.start()):
        # Typed by hand, and not encoded: quotation marks may be part of it.
        if _SMB_PORT.match(line.low, begin):
            return None
        bound = line.bound(begin)
        end = min(line.following(_next_blank, begin), bound)
        if line.low.find(b"@", begin, end) < 0 and not _PORT.match(line.low, begin):
            found = _HOST_BEHIND.search(line.low, end, min(bound, end + 64))
            return (begin, found.start()) if found else None
    elif _PORT.match(line.low, begin):
        return None
    else:
        end = line.word_end(begin)
    at = line.low.rfind(b"@", begin, end)
    return None if at < 0 else (begin, at)


def _next_blank(line: Line, begin: int) -> int:
    found = _BLANK.search(line.low, begin)
    return found.start() if found else len(line.low)


def unknown_parameter(line: Line, match: re.Match[bytes]) -> Span | None:
    """A word that is no mount option may be the other half of a password."""
    begin = match.end()
    bound = len(line.low.rstrip(b"\r\n"))
    mark = match["quote"] or b""
    end = line.low.rfind(mark, begin, bound) if mark else -1
    if end < 0:
        end = bound if mark else values.shell_word(line, begin, bound)[1]
    if (match["kind"] == b"option" or match["value"]) and not _MOUNTING.search(
        line.low, 0, match.end()
    ):
        return None
    if _OTHER_FILE_SYSTEM.search(line.low, max(0, match.start() - 96), match.start()):
        return None  # without passwords among its options
    name, has, _ = line.low[begin:end].partition(b"=")
    if name.startswith(b"-"):
        return None  # an option of a command
    known = mount_options.is_option(name, has_value=True) or mount_options.is_foreign_option(name)
    known = known or (not has and mount_options.is_option(name, has_value=False))
    return None if known else (begin, end)


def element(line: Line, match: re.Match[bytes]) -> Span | None:
    """Between two tags, which may be escaped."""
    if match["name"] == b"key" and _PLIST.match(line.low, match.end()):
        return None  # the name of what follows
    if match["name"].startswith(b"cred") and _TAG.match(line.low, match.end()):
        return None  # the elements within it decide
    return _up_to_tag(line, match.end(), match["opening"])


def _up_to_tag(line: Line, begin: int, opening: bytes) -> Span:
    end = line.low.find(opening + b"/", begin)
    return begin, len(line.low) if end < 0 else end


def web_token(line: Line, match: re.Match[bytes]) -> Span | None:
    """A token behind the name of its scheme; a word of prose is none."""
    begin, end = match.span("value")
    token = line.text[begin:end]
    if match["scheme"] == b"bearer":
        return None if token.isalpha() and token.islower() else (begin, end)
    if match["scheme"] in (b"basic", b'"auth"'):
        return (begin, end) if _is_basic(token) else None
    return (begin, end) if len(token) >= 20 and not token.isalpha() else None


def _is_basic(token: bytes) -> bool:
    """Base64 of ``USER:PASSWORD``."""
    try:
        return b":" in (plain := b64decode(token, validate=True)) and plain.isascii()
    except ValueError:
        return False


def json_web_token(line: Line, match: re.Match[bytes]) -> Span | None:
    """Base64 of ``{"``."""
    return match.span() if line.text.startswith(b"eyJ", match.start()) else None


def private_key(line: Line, match: re.Match[bytes]) -> Span | None:
    """The part of a private key in PEM on the line where it begins."""
    end = line.low.find(b"-----end ", match.end())
    body = _KEY_BODY.match(line.low, match.end())
    return match.end(), end if end >= 0 else body.end() if body else match.end()


def _word(line: Line, match: re.Match[bytes]) -> Span:
    return values.shell_word(line, match.end(), line.bound(match.end()))


def _is_number(line: Line, begin: int, end: int) -> bool:
    return _NUMBER.fullmatch(line.low, begin, end) is not None
