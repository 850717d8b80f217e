# SPDX-License-Identifier: MIT
"""Kinds of single values: each reads one from a document and states itself as JSON Schema.

JSON Schema means draft 2020-12.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.document import WHOLE_FILE, Broken, Node, Scalar, ScalarValue, describe
from aodasync.config.findings import Findings, suggestion

__all__ = [
    "AbsolutePath",
    "Flag",
    "Number",
    "ScalarKind",
    "Text",
    "plain",
    "refuse",
]

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, which no path or argument of ours has, and halves of surrogate pairs."""


def refuse(node: Node, key: str, expected: str, findings: Findings, near: str = "") -> None:
    """Report that ``node`` is not ``expected``, unless it is broken and told of already."""
    if not isinstance(node, Broken):
        findings.error(
            node, key or WHOLE_FILE, f"found {describe(node)}; {expected} is right{near}"
        )


def plain(number: float) -> int | float:
    """``number`` as people write it: whole ones without a fraction."""
    return int(number) if number == math.floor(number) else number


class ScalarKind(ABC):
    """What a single value must be."""

    __slots__ = ()

    @abstractmethod
    def accept(self, value: ScalarValue) -> Any:
        """The value as it is used, or None."""

    @abstractmethod
    def expected(self, value: ScalarValue) -> str:
        """What would be right where ``value`` was found."""

    def words(self) -> Iterable[str]:
        """The words to choose from, if there are such."""
        return ()

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The values that are right."""

    def read(self, node: Node, key: str, findings: Findings) -> Any:
        """The value of ``node``, or None after telling the findings why not."""
        value = node.value if isinstance(node, Scalar) else None
        accepted = self.accept(value)
        if accepted is None:
            near = suggestion(value, self.words()) if isinstance(value, str) else ""
            refuse(node, key, self.expected(value), findings, near)
        return accepted


@dataclass(frozen=True, slots=True)
class Number(ScalarKind):
    """A number within bounds, both included; a whole one may be written 4 or 4.0.

    Below ``advised`` it is taken, with ``remark`` as a warning.
    """

    minimum: float
    maximum: float
    whole: bool = False
    advised: float = -math.inf
    remark: str = ""

    def accept(self, value: ScalarValue) -> float | None:
        """An int if ``whole``, else a float; YAML's true and .nan are no numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.minimum <= value <= self.maximum:
            return None
        if self.whole:
            return int(value) if value == math.floor(value) else None
        return float(value)

    def expected(self, value: ScalarValue) -> str:
        """Its bounds."""
        del value
        noun = "a whole number" if self.whole else "a number"
        return f"{noun} from {plain(self.minimum)} to {plain(self.maximum)}"

    def read(self, node: Node, key: str, findings: Findings) -> float | None:
        """The number; one below what is advised gives a warning."""
        number: float | None = super(Number, self).read(node, key, findings)
        if number is not None and number < self.advised:
            findings.warn(node, key, f"found {describe(node)}; {self.remark}")
        return number

    def schema(self) -> dict[str, Any]:
        """Number or integer, with bounds."""
        return {
            "type": "integer" if self.whole else "number",
            "minimum": plain(self.minimum),
            "maximum": plain(self.maximum),
        }


@dataclass(frozen=True, slots=True)
class Flag(ScalarKind):
    """True or false."""

    def accept(self, value: ScalarValue) -> bool | None:
        """A bool."""
        return value if isinstance(value, bool) else None

    def expected(self, value: ScalarValue) -> str:
        """Both."""
        del value
        return "true or false"

    def schema(self) -> dict[str, Any]:
        """Boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Text(ScalarKind):
    """Text that can be an argument of a command."""

    def accept(self, value: ScalarValue) -> str | None:
        """A str."""
        return value if isinstance(value, str) and not _UNSAFE.search(value) else None

    def expected(self, value: ScalarValue) -> str:
        """Text; in quotes, for what YAML takes for something else."""
        if isinstance(value, str):
            return "text without control characters"
        return "text" if value is None else "text (in quotes)"

    def schema(self) -> dict[str, Any]:
        """String."""
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class AbsolutePath(ScalarKind):
    """An absolute path."""

    def accept(self, value: ScalarValue) -> str | None:
        """A str that begins with a slash."""
        if isinstance(value, str) and value.startswith("/") and not _UNSAFE.search(value):
            return value
        return None

    def expected(self, value: ScalarValue) -> str:
        """A path."""
        del value
        return "an absolute path"

    def schema(self) -> dict[str, Any]:
        """String with a leading slash."""
        return {"type": "string", "pattern": "^/"}
