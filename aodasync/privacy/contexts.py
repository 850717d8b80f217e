# SPDX-License-Identifier: MIT
"""The contexts in which secrets stand, and the search for them in a line."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from aodasync.privacy import finders
from aodasync.privacy.commands import COMMANDS
from aodasync.privacy.context import FLAG_START, GAP, Context, Span, context
from aodasync.privacy.known_by_form import KNOWN_BY_FORM
from aodasync.privacy.line import Line
from aodasync.privacy.prose import PROSE
from aodasync.privacy.vocabulary import OTHER_MEMBERS, QUOTE, SECRET_NAMES

__all__ = ["CONTEXTS", "NEEDLE", "secrets"]


def _encoded(line: Line, match: re.Match[bytes]) -> Span | None:
    """The audit system writes in hexadecimal what holds a blank or a NUL."""
    begin, end = match.span("value")
    plain = bytes.fromhex(line.low[begin : end - (end - begin) % 2].decode("ascii"))
    inner = Line(plain.strip(b"\0"), argv=b"\0" in plain)
    return (begin, end) if next(secrets(inner), None) else None


def _needles_in_base64(word: bytes) -> Iterator[bytes]:
    """What any base64 of a text that holds the word has, in lower case: it begins in three ways."""
    for shift in range(3):
        encoded = b64encode(bytes(shift) + word)
        yield encoded[(shift * 8 + 5) // 6 : (shift + len(word)) * 8 // 6].lower()


_IN_BASE64: Final = tuple(
    needle
    for word in (b"passw", b"Passw", b"PASSW", b"AccountKey", b'"auth"')
    for needle in _needles_in_base64(word)
)
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def _in_base64(line: Line, match: re.Match[bytes]) -> Span | None:
    """Secrets of Kubernetes, cloud-init and shells hold whole files of credentials."""
    begin, end = match.span("value")
    if not any(needle in match["value"] for needle in _IN_BASE64):
        return None
    digits = line.text[begin:end].rstrip(b"=").translate(_STANDARD)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    plain = b64decode(digits + b"=" * (-len(digits) % 4))
    return (begin, end) if next(secrets(Line(plain)), None) else None


_PASSWORD: Final = rb"pass(?:[_-]?word|wd|[ _-]?phrase|code)s?"
_NAMES: Final = (
    b"pass",
    b"pw",
    b"secret",
    b"token",
    b"cred",
    b"key",
    b"sig",
    b"sas",
    b"hash",
    b"psk",
    b"authtok",
    b"kennwort",
    b"contrase",
    b"wachtwoord",
    b"senha",
    b"pasw",
    b"has\xc5\x82o",
    b"l\xc3\xb6senord",
    b"pa\xc3\x9fwort",
    b"\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c",
    b"\xe5\xaf\x86\xe7",
    b"\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89",
)
_NO_OPTION: Final = (
    rb"(?:(?:unknown|not recogni[sz]ed|unrecogni[sz]ed|invalid|bad|unsupported)(?![a-z]))"
)
_COLOUR: Final = rb"(?:(?:\x1b|\^\[|#033|\\x1b|\\u001b)\[[0-9;]{0,12}m)?"
_SEPARATOR: Final = (
    _COLOUR
    + rb"(?:[ \t]|\xc2\xa0){0,64}+(?P<separator>:=|=>|->|\+=|<-|={1,2}|:|%3d|%3a|\xef\xbc\x9a)"
    + _COLOUR
    + rb"(?:[ \t]|\xc2\xa0){0,1024}+"
)


CONTEXTS: Final = (
    context(
        "a private key in PEM, as far as it is on one line",
        (b"private key",),
        rb"-----begin [a-z0-9 ]{0,40}?private key(?: block)?-----",
        finders.private_key,
    ),
    context(
        "name=NAME value=X, also as an element of XML",
        (b"value", b"<string>"),
        rb"(?:name|key|id)(?:(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:%b)?|>)[a-z0-9_.-]{0,40}?"
        % (QUOTE, QUOTE)
        + SECRET_NAMES
        + rb"(?:(?:%b)?%b[ \t]{0,8}[,;]?[ \t]{0,8}(?:%b)?[a-z]{0,16}value(?:%b)?[ \t]{0,8}[:=]"
        rb"[ \t]{0,8}|[\"']?(?:[ \t][^<>]{0,128})?(?:</[a-z]{1,8})?>[ \t]{0,8}<(?:value|string)>)"
        % (QUOTE, OTHER_MEMBERS, QUOTE, QUOTE),
        finders.paired,
    ),
    context(
        "an element of XML with an attribute that names it",
        _NAMES,
        rb"[ \t](?:name|key|id)=[\"'][a-z0-9_.-]{0,40}?"
        + SECRET_NAMES
        + rb"[\"'](?:[ \t][^<>]{0,64})?(?<!/)>(?=[^\s<])",
        finders.paired,
    ),
    context(
        "the default of a variable of Terraform",
        (b"variable",),
        rb"\bvariable[ \t]{1,8}\"[a-z0-9_-]{0,40}?"
        + SECRET_NAMES
        + rb"\"[ \t]{0,8}\{[^{}\n]{0,128}?\bdefault[ \t]{0,8}=[ \t]{0,8}(?=\")",
        finders.paired,
    ),
    context(
        "value=X name=NAME",
        (b"value",),
        rb"value(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:%b)(?P<value>[^\"'\\\n]{1,256}+)(?:%b)"
        rb"[ \t]{0,8}[,;]?[ \t]{0,8}"
        rb"(?:%b)?(?:name|key)(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}(?:%b)[a-z0-9_.-]{0,40}?"
        % ((QUOTE,) * 6)
        + SECRET_NAMES
        + rb"(?:%b)" % QUOTE,
        finders.claimed,
    ),
    context(
        "a name and its value",
        (*_NAMES, b"authorization", b"cookie"),
        SECRET_NAMES
        + rb"(?P<closing>"
        + QUOTE
        + rb")?(?:(?:\[[0-9]{0,3})?\](?=[ \t]{0,8}(?:=|:=))|\[[0-9]{1,3}\](?=:[ \t]))?"
        + _SEPARATOR,
        finders.named,
    ),
    context(
        "a flag and the word behind it",
        _NAMES,
        FLAG_START + rb"--?[a-z0-9_-]{0,40}?" + SECRET_NAMES + GAP,
        finders.flag_word,
    ),
    context(
        "a name and its value as arguments of a call",
        _NAMES,
        rb"(?P<quote>"
        + QUOTE
        + rb")(?:[a-z0-9_.-]{0,40}?)"
        + SECRET_NAMES
        + rb"(?P=quote),[ \t]{0,8}(?="
        + QUOTE
        + rb")",
        finders.call_argument,
    ),
    context(
        "a name and its value, both in quotation marks",
        _NAMES,
        rb"(?P<quote>[\"'])[a-z0-9_.-]{0,40}?" + SECRET_NAMES + rb"(?P=quote)[ \t]{1,8}[\"']",
        finders.quoted,
    ),
    context(
        "what is set, or an object that holds it: set_password('X')",
        (b"pass", b"secret"),
        rb"(?:%b|secret(?:str)?)\((?:[a-z_]{0,32}=)?(?=(?:%b)[^\"'\s\\]{1,256}(?:%b))"
        % (_PASSWORD, QUOTE, QUOTE),
        finders.paired,
    ),
    context(
        "NAME:X behind --auth",
        (b"--auth",),
        FLAG_START + rb"--auth" + GAP + rb"[\"']?[^\s:\"'/]{1,64}:(?=[^\s:/])",
        finders.paired,
    ),
    context(
        "a password in the form of netrc",
        (b"pass", b"bindpw", b"rootpw"),
        rb"(?<![a-z0-9_-])(?:bind_?|root_?)?(?:password|passwd|(?<=bind)pw|(?<=root)pw)"
        rb"[ \t]{1,64}+(?:(?<=pw[ \t])--[a-z]{4,10}[ \t]{1,8})?(?=[^\s=:])",
        finders.netrc,
    ),
    context(
        "a line of a credentials file that mount.cifs cannot read",
        (b"credential formatted",),
        rb"credential formatted incorrectly:[ \t]{1,8}+(?!\(null\))",
        finders.rest,
    ),
    context(
        "a property that nmcli sets",
        (b"nmcli",),
        rb"\bnmcli\b[^\n|;]{0,512}?[ \t.\"'](?:password|psk|wep-key[0-3]|private-key-password)"
        + GAP
        + rb"(?=[^\s=:])",
        finders.paired,
    ),
    context(
        "'NAME' value 'X', as NetworkManager says it",
        (b"' value '",),
        rb"'[a-z0-9_.-]{0,40}?" + SECRET_NAMES + rb"' value '(?!<hidden>)",
        finders.quoted,
    ),
    context(
        "a password in quotation marks, in prose",
        (b"pass", b"secret"),
        rb"(?:"
        + _PASSWORD
        + rb"(?: is| was| to| of)?|secret(?: is| was| to| of)):?[ \t]{1,8}+[\"'`]",
        finders.quoted,
    ),
    context(
        "a value of the registry",
        (b"reg_",),
        SECRET_NAMES + rb"[\"']?[ \t]{1,32}+(?:/t[ \t]{1,8})?reg_[a-z_]{2,9}"
        rb"[ \t]{1,32}+(?:/d[ \t]{1,8})?",
        finders.rest,
    ),
    context(
        "user%password as a mount option, or as a line of a credentials file",
        (b"%",),
        rb"(?:\buser(?:name)?=|^[ \t]{0,16}user(?:name)?[ \t]{1,8}=[ \t]{1,8}(?![0-9]))"
        rb"[^,;&=%\s]{1,256}+%",
        finders.option_percent,
    ),
    context(
        "user:password of a URL",
        (b"//", b"\\/\\/", b"%2f%2f"),
        rb"(?://|\\/\\/)[^\s/:@\[\"'<>]{0,128}+(?:@[^\s/:@\[\"'<>]{1,128}+)?:(?!//)|%2f%2f[a-z0-9._~;-]{0,128}+(?:%5c[a-z0-9._~-]{0,64}+)?%3a",
        finders.url_userinfo,
    ),
    context(
        "half a password that became a mount option",
        (b"unknown", b"unrecogni", b" option", b" parameter", b"d value"),
        rb"(?:bad value for|invalid (?P<value>value)(?=[ \t]{1,8}[\"'`])"
        rb"|pars(?:e|ing)(?: cifs)? mount option"
        rb"|mount option(?=[ \t][^\s]{1,256}+ (?:is |was )?"
        + _NO_OPTION
        + rb")|"
        + _NO_OPTION
        + rb"[ \t](?:(?:mount|filesystem)[ \t])?(?P<kind>parameter|option)s?:?)[ \t]{1,8}+"
        rb"(?:(?P<quote>[\"'`])|(?=[^\s\"'`]))",
        finders.unknown_parameter,
    ),
    context(
        "an element of XML",
        _NAMES,
        rb"(?P<opening><|&lt;|\\u003c)(?:[a-z0-9_.-]{1,20}:)?[a-z0-9_.-]{0,32}?"
        + SECRET_NAMES
        + rb"(?:[ \t][^<>]{0,256})?(?<!/)(?:>|&gt;|\\u003e)",
        finders.element,
    ),
    context(
        "a variable of the environment that Go printed: its name, its value, no reference",
        _NAMES,
        rb"\{[a-z0-9_.-]{0,40}?"
        + SECRET_NAMES
        + rb"[ \t](?P<value>[^{}\n]{1,256}?)[ \t](?:nil|<nil>|&|0x)",
        finders.claimed,
    ),
    context(
        "a file or a list of settings in base64",
        _IN_BASE64,
        rb"(?<![a-z0-9+/_-])(?P<value>[a-z0-9+/_-]{12,8192}+={0,2})",
        _in_base64,
    ),
    context(
        "what was typed, as the audit system logs it",
        (b"tty pid=",),
        rb"\btty pid=[0-9]{1,10} [^\n]{0,256}?\bdata=(?P<value>[^\s]{2,8192}+)",
        finders.claimed,
    ),
    context(
        "the audit system's hexadecimal",
        (b"proctitle=", b"audit(", b"execve", b"cmd="),
        rb"\b(?:proctitle|cmd|data|a[0-9]{1,4}(?:\[[0-9]{1,4}\])?)="
        rb"(?P<value>[0-9a-f]{12,4096}+)(?![0-9a-z])",
        _encoded,
    ),
    *COMMANDS,
    *PROSE,
    *KNOWN_BY_FORM,
)


_NEEDLES: Final = tuple(sorted({needle for row in CONTEXTS for needle in row.needles}))


def _any_of(words: tuple[bytes, ...]) -> bytes:
    """The longest of these words. Grouped by their first bytes, which is what makes it quick."""
    rests: dict[bytes, list[bytes]] = {}
    for word in sorted(words, key=len, reverse=True):
        rests.setdefault(word[:1], []).append(re.escape(word[1:]))
    return b"|".join(
        re.escape(first) + b"(?:%b)" % b"|".join(rest) for first, rest in rests.items()
    )


NEEDLE: Final = re.compile(_any_of(_NEEDLES))
"""A line without any of them, in lower case, holds no secret that the table knows."""

_LONGEST_AT: Final = re.compile(b"(?=(%b))" % _any_of(_NEEDLES))
"""At each place the longest needle: all others that begin there are its beginnings."""


@lru_cache(maxsize=512)
def _rows_of(longest: frozenset[bytes]) -> tuple[Context, ...]:
    """The contexts that a line with these may hold."""
    present = [needle for needle in _NEEDLES if any(each.startswith(needle) for each in longest)]
    return tuple(row for row in CONTEXTS if not row.needles.isdisjoint(present))


def secrets(line: Line, limit: int | None = None) -> Iterator[Span]:
    """Where a line's secrets are, from left to right.

    Those of pieces of a line are looked for from ``line.begin``, and as far as their
    triggers begin before ``limit``.
    """
    end = len(line.low.rstrip(b"\r\n") if line.whole else line.low)
    last = len(line.low) if limit is None else limit
    at = line.begin
    rows = _rows_of(frozenset(_LONGEST_AT.findall(line.low)))
    waiting = [(m, row) for row in rows if (m := row.trigger.search(line.low, at))]
    while waiting:
        place = min(range(len(waiting)), key=lambda n: waiting[n][0].start())
        match, row = waiting[place]
        if match.start() >= last:
            return
        resume = match.end()
        if match.start() < at:
            resume = at
        elif (span := row.find(line, match)) is not None and span[0] < min(span[1], end):
            resume = at = min(span[1], end)
            line.mask(at)
            yield span[0], at
        following = row.trigger.search(line.low, max(resume, match.start() + 1))
        if following:
            waiting[place] = (following, row)
        else:
            del waiting[place]
