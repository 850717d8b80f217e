# SPDX-License-Identifier: MIT
"""What is found wrong while a file is read: collected, so that all of it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from aodasync.errors import ConfigProblem

__all__ = ["Findings", "Place", "suggestion"]


class Place(Protocol):
    """Anything that knows where it is written."""

    @property
    def line(self) -> int:
        """From 1."""

    @property
    def column(self) -> int:
        """From 1."""


@dataclass(slots=True)
class Findings:
    """Errors refuse the file; warnings are told and the file is used."""

    errors: list[ConfigProblem] = field(default_factory=list)
    warnings: list[ConfigProblem] = field(default_factory=list)

    def error(self, place: Place, key: str, message: str) -> None:
        """Refuse what stands at ``place``, which is ``key``."""
        self.errors.append(ConfigProblem(place.line, place.column, key, message))

    def warn(self, place: Place, key: str, message: str) -> None:
        """Tell of something odd that is not wrong."""
        self.warnings.append(ConfigProblem(place.line, place.column, key, message))


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'X'?`` with the nearest of ``known``, else nothing."""
    by_fold = {name.casefold(): name for name in known}
    nearest = difflib.get_close_matches(word.casefold()[:100], by_fold, n=1, cutoff=0.6)
    return f"; did you mean '{by_fold[nearest[0]]}'?" if nearest else ""
