# SPDX-License-Identifier: MIT
"""Tokens that say by their first letters what they are, wherever they stand.

Their issuers chose those so that a search finds them: GitHub, GitLab, Slack, AWS, Google,
Stripe, npm, PyPI, HashiCorp Vault, DigitalOcean, Docker, OpenAI, SendGrid, Azure AD.
"""

from __future__ import annotations

import re
from typing import Final

from aodasync.privacy.context import Span, context
from aodasync.privacy.line import Line

__all__ = ["TOKENS"]

_BEGIN: Final = rb"(?<![a-z0-9+/=_-])"
_END: Final = rb"(?![a-z0-9_-])"
_LONG: Final = rb"[a-z0-9_-]{20,512}+"
_THREE_DIGITS: Final = re.compile(rb"(?:[^0-9]*+[0-9]){3}")


def _token(line: Line, match: re.Match[bytes]) -> Span | None:
    """What follows the letters that name the issuer; a name made of words is no token."""
    begin, end = match.span("value")
    return (begin, end) if _THREE_DIGITS.match(line.low, begin, end) else None


TOKENS: Final = (
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
"""The contexts of tokens that stand alone."""
