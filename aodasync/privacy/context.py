# SPDX-License-Identifier: MIT
"""A context in which secrets stand: what to look for, and who knows where the secret ends.

A context has *needles*, without one of which no line holds it; a *trigger*, which ends
where the secret is expected; and a finder. A trigger has no two quantifiers side by side
that could share bytes between them in more than a bounded number of ways, and a finder
looks at a bounded number of bytes, or at bytes that it then claims as a value: so the
time for a line is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aodasync.privacy.line import Line
from aodasync.privacy.vocabulary import QUOTE

__all__ = ["FLAG_START", "GAP", "NEXT", "Context", "Span", "context"]

Span: TypeAlias = tuple[int, int]
"""Where a secret begins, and where what follows it does."""

FLAG_START: Final = rb"(?<![a-z0-9_./*-])"

GAP: Final = (
    rb"(?:%b)?(?:[ \t\0]{1,64}+(?:a[0-9]{1,4}(?:\[[0-9]{1,4}\])?=)?|,[ \t]{0,8}+(?=%b))"
) % (QUOTE, QUOTE)
"""Between two words of a command line, a list of JSON, or a record of the audit system."""

NEXT: Final = GAP + rb"(?:%b)?" % QUOTE
"""The same, and the quotation mark that opens the next word."""


@dataclass(frozen=True, slots=True)
class Context:
    """A row of a table of contexts."""

    name: str
    needles: frozenset[bytes]
    trigger: re.Pattern[bytes]
    find: Callable[[Line, re.Match[bytes]], Span | None]


def context(
    name: str,
    needles: tuple[bytes, ...],
    trigger: bytes,
    find: Callable[[Line, re.Match[bytes]], Span | None],
) -> Context:
    """A row, its trigger compiled."""
    return Context(name, frozenset(needles), re.compile(trigger), find)
