# SPDX-License-Identifier: MIT
"""What is wrong with a file: collected while it is read, reported all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from aodasync.config.document import WHOLE_FILE, Place
from aodasync.errors import ConfigProblem

__all__ = ["Problems"]

_MOST: Final = 100
_LONGEST: Final = 100

_IN_THE_OTHER_FORMAT: Final = {"track_codes": "track_errors", "track_errors": "track_codes"}
"""What one of AODv2's formats calls what the other one has under another name."""


class Problems:
    """Errors refuse the file; with warnings alone it is used.

    A hundred of each are kept, the rest only counted: a broken file of a few kilobytes
    can have millions.
    """

    def __init__(self) -> None:
        self._errors: list[ConfigProblem] = []
        self._warnings: list[ConfigProblem] = []
        self._not_kept = {"errors": 0, "warnings": 0}

    @property
    def errors(self) -> list[ConfigProblem]:
        """In file order; the last one counts those that are not shown."""
        return self._listed(self._errors, "errors")

    @property
    def warnings(self) -> list[ConfigProblem]:
        """In file order; the last one counts those that are not shown."""
        return self._listed(self._warnings, "warnings")

    def error(self, place: Place, key: str, message: str) -> None:
        """Refuse what stands at ``place``, which is ``key``."""
        self._add(self._errors, "errors", place, key, message)

    def warn(self, place: Place, key: str, message: str) -> None:
        """Report something odd that does not refuse the file."""
        self._add(self._warnings, "warnings", place, key, message)

    def errors_below(self, key: str) -> bool:
        """Whether an error of ``key``, or of something in it, was reported."""
        inside = (f"{key}.", f"{key}[")
        return any(p.key == key or p.key.startswith(inside) for p in self._errors)

    def suggestion(self, word: str, known: Iterable[str]) -> str:
        """``; did you mean 'X'?`` with the nearest of ``known``, else nothing.

        Each costs milliseconds, so problems that are not kept get none.
        """
        if len(self._errors) >= _MOST or len(self._warnings) >= _MOST:
            return ""
        by_fold = {name.casefold(): name for name in known}
        fold = word.casefold()[:_LONGEST]
        if other := by_fold.get(_IN_THE_OTHER_FORMAT.get(fold, "")):
            return f"; did you mean '{other}'?"
        if ends := [name for name in by_fold if name.endswith(f"_{fold}")]:
            return f"; did you mean '{by_fold[min(ends, key=len)]}'?"
        import difflib  # noqa: PLC0415  # for a mistake alone: 150 KB in every agent otherwise

        nearest = difflib.get_close_matches(fold, by_fold, n=3, cutoff=0.6)
        swapped = [name for name in nearest if sorted(name) == sorted(fold)]
        return f"; did you mean '{by_fold[(swapped or nearest)[0]]}'?" if nearest else ""

    def _add(
        self, problems: list[ConfigProblem], kind: str, place: Place, key: str, message: str
    ) -> None:
        if len(problems) < _MOST:
            problems.append(ConfigProblem(place.file, place.line, place.column, key, message))
        else:
            self._not_kept[kind] += 1

    def _listed(self, problems: list[ConfigProblem], kind: str) -> list[ConfigProblem]:
        listed = sorted(problems)
        if self._not_kept[kind]:
            last = listed[-1]
            message = f"{self._not_kept[kind]} more {kind} are not shown"
            listed.append(replace(last, key=WHOLE_FILE, message=message))
        return listed
