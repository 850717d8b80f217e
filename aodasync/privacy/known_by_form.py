# SPDX-License-Identifier: MIT
"""Secrets that are known by their own form, wherever they stand: keys, hashes, tokens.

Some issuers begin their tokens with letters that a search finds: GitHub, GitLab, Slack, Google,
Stripe, npm, PyPI, HashiCorp Vault, DigitalOcean, Docker, OpenAI, SendGrid, Azure AD.
"""

from __future__ import annotations

import re
from typing import Final

from aodasync.privacy import finders
from aodasync.privacy.context import Span, context
from aodasync.privacy.line import Line

__all__ = ["KNOWN_BY_FORM"]

_BEGIN: Final = rb"(?<![a-z0-9+/=_-])"
_END: Final = rb"(?![a-z0-9_-])"
_LONG: Final = rb"[a-z0-9_-]{20,512}+"
# Behind the offset that a dump has, and with the gap in its middle.
_HEX_PAIRS: Final = (
    rb"(?:(?:[0-9a-f]{4,8}:|\[[0-9a-f]{4,8}\])[ \t]{1,4})?+(?:0x)?"
    rb"(?P<value>[0-9a-f]{2}(?:[ :-]{0,3}[0-9a-f]{2}){7,511}+)(?![0-9a-z])"
)
# A hash without a word before it that says whose is a file's, unless it is as long as NT's.
_HASH: Final = (
    rb"(?:(?:pass(?:word|wd)?|user|cred(?:ential)?|nt|lm|ntlm(?:v2)?)[ _-]?hash"
    rb"|hash(?=[ \t:=]{0,32}(?:0x)?[0-9a-f]{32}(?![0-9a-z])))"
)
_RESPONSES: Final = (b"nt_response", b"lm_response", b"nt response", b"lm response")
_THREE_DIGITS: Final = re.compile(rb"(?:[^0-9]*+[0-9]){3}")


def _token(line: Line, match: re.Match[bytes]) -> Span | None:
    """What follows the letters that name the issuer; a name made of words is no token."""
    begin, end = match.span("value")
    return (begin, end) if _THREE_DIGITS.match(line.low, begin, end) else None


KNOWN_BY_FORM: Final = (
    context(
        "a session, signing or Kerberos key, or a hash, in hexadecimal",
        (b"key", b"hash", b"ntlm", b"cred", *_RESPONSES),
        rb"(?:key(?<!lease[_ ]key)(?<!kernel key)(?<!pubkey)(?:block|s)?|credential|"
        + _HASH
        + rb"|(?:nt|lm|ntlm)(?:v2)?[ _]response)(?:[ \t]\([^)\n]{0,40}\))?"
        rb"[ \t]{0,1024}+[:=]?[ \t]{0,1024}+" + _HEX_PAIRS,
        finders.claimed,
    ),
    context(
        "a key behind its type of encryption",
        (b"aes", b"rc4-", b"arcfour-", b"des3-", b"des-", b"camellia"),
        rb"(?<![a-z0-9])(?:aes|rc4-|arcfour-|des3?-|camellia)[a-z0-9-]{2,32}+[)\]]?"
        rb"(?:[ \t]?[:=,/]|[ \t])[ \t]{0,8}(?:key[ \t]?[:=]?[ \t]{0,8})?(?:0x)?"
        rb"(?P<value>[0-9a-f]{32,512}+)(?![0-9a-z])",
        finders.claimed,
    ),
    context(
        "a key of a keytab", (b"(0x",), rb"\(0x(?P<value>[0-9a-f]{32,512}+)\)", finders.claimed
    ),
    context(
        "hashes of smbpasswd",
        (b":lct-", b":::", b"ntlm", b"hash", b"no password"),
        rb"(?<![0-9a-f])(?P<value>(?:[0-9a-f]{32}|no passwordx{21}|x{32}):[0-9a-f]{32})"
        rb"(?![0-9a-f])",
        finders.claimed,
    ),
    context(
        "a hash of crypt(3)",
        (b"$1$", b"$2", b"$5$", b"$6$", b"$7$", b"$y$", b"$gy$"),
        rb"\$(?:[1567]|2[abxy]|g?y)\$(?P<value>[^\s:\"',]{8,256}+)",
        finders.claimed,
    ),
    context(
        "a token of HTTP",
        (b"bearer", b"negotiate", b"ntlm", b"basic", b'"auth"'),
        rb"(?P<scheme>(?<![a-z0-9_])(?:bearer|negotiate|ntlm|basic)|\"auth\"(?=:))[ \t:]{1,64}+\"?+"
        rb"(?P<value>[a-z0-9._~+/=-]{6,2048}+)",
        finders.web_token,
    ),
    context(
        "a JSON web token",
        (b"eyj",),
        rb"\beyj[a-z0-9_-]{8,1024}+\.[a-z0-9_-]{1,1536}+(?:\.[a-z0-9_-]{0,1024}+)?",
        finders.json_web_token,
    ),
    context(
        "a message of NTLM",
        (b"tlrmtvnt",),
        rb"(?P<value>tlrmtvnt[a-z0-9+/=]{8,4096}+)",
        finders.claimed,
    ),
    context(
        "a storage account's key",
        (b"==",),
        rb"(?<![a-z0-9+/=])(?P<value>[a-z0-9+/]{86}==)",
        finders.claimed,
    ),
    context(
        "a token with the prefix of its issuer",
        (
            *(b"gh" + kind + b"_" for kind in (b"p", b"o", b"u", b"s", b"r")),
            *(b"github_pat_", b"glpat-", b"xoxb-", b"xoxp-", b"xoxa-", b"xoxs-", b"xapp-"),
            *(b"npm_", b"pypi-", b"dop_v1_", b"dckr_pat_", b"sk_live_", b"rk_live_", b"aiza"),
            *(b"sk-", b"hvs."),
        ),
        _BEGIN + rb"(?:gh[pousr]_|github_pat_|glpat-|xox[abps]-|xapp-|npm_|pypi-|dop_v1_|dckr_pat_"
        rb"|[sr]k_live_|aiza|sk-|hvs\.)(?P<value>%b)" % _LONG + _END,
        _token,
    ),
    context(
        "a token of SendGrid",
        (b"sg.",),
        _BEGIN + rb"sg\.(?P<value>[a-z0-9_-]{16,32}+\.[a-z0-9_-]{32,64}+)" + _END,
        _token,
    ),
    context(
        "a client secret of Azure AD",
        (b"q~",),
        _BEGIN + rb"(?P<value>[a-z0-9_~.-]{3}[0-9]q~[a-z0-9_~.-]{31,34}+)(?![a-z0-9_~-])",
        _token,
    ),
)
"""The contexts of secrets that need no name beside them."""
