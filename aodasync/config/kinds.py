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

from aodasync.config.document import (
    WHOLE_FILE,
    Broken,
    Node,
    Scalar,
    ScalarValue,
    describe,
    describe_value,
)
from aodasync.config.problems import Problems

__all__ = [
    "AbsolutePath",
    "Choice",
    "Flag",
    "Number",
    "Program",
    "ScalarKind",
    "Text",
    "plain",
    "refuse",
]

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and lone surrogates, which no path or argument of ours has."""

_TRUE: Final = ("true", "yes", "on", "y")
_FALSE: Final = ("false", "no", "off", "n")


def refuse(node: Node, key: str, expected: str, problems: Problems, near: str = "") -> None:
    """Report that ``node`` is not ``expected``, unless its fault was already reported."""
    if not isinstance(node, Broken):
        message = f"expected {expected}, found {describe(node)}{near}"
        problems.error(node, key or WHOLE_FILE, message)


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
        """What is expected where ``value`` was found."""

    def words(self) -> Iterable[str]:
        """The words to choose from, if there are such."""
        return ()

    def meant(self, text: str) -> bool | float | None:  # noqa: B027  # most have none
        """The value that a text looks like: ``20`` for ``"20"``."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The accepted values."""

    def read(self, node: Node, key: str, problems: Problems) -> Any:
        """The value of ``node``, or None after reporting why not."""
        value = node.value if isinstance(node, Scalar) else None
        accepted = self.accept(value)
        if accepted is None:
            near = ""
            if isinstance(value, str):
                meant = self.meant(value)
                if self.accept(meant) is not None:
                    near = f"; did you mean {describe_value(meant)}, without quotes?"
                else:
                    near = problems.suggestion(value, self.words())
            refuse(node, key, self.expected(value), problems, near)
        return accepted


@dataclass(frozen=True, slots=True)
class Number(ScalarKind):
    """A number within bounds, both included; a whole one may be written 4 or 4.0.

    Without a ``maximum`` any that is finite. Below ``advised`` it is accepted with a
    warning that says the ``consequence``.
    """

    minimum: float
    maximum: float = math.inf
    whole: bool = False
    advised: float = -math.inf
    consequence: str = ""

    def accept(self, value: ScalarValue) -> float | None:
        """An int if ``whole``, else a float; YAML's true and .nan are no numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.minimum <= value <= self.maximum or math.isinf(value):
            return None
        if self.whole:
            return int(value) if value == math.floor(value) else None
        return float(value)

    def expected(self, value: ScalarValue) -> str:
        """Its bounds."""
        del value
        noun = "a whole number" if self.whole else "a number"
        last = "on" if math.isinf(self.maximum) else f"to {plain(self.maximum)}"
        return f"{noun} from {plain(self.minimum)} {last}"

    def meant(self, text: str) -> float | None:
        """A number in quotes, and one that YAML 1.1 takes for a text, as ``1e3``."""
        try:
            return plain(float(text))
        except (ValueError, OverflowError):
            return None

    def read(self, node: Node, key: str, problems: Problems) -> float | None:
        """The number; one below ``advised`` gives a warning."""
        number: float | None = super(Number, self).read(node, key, problems)
        if number is not None and number < self.advised:
            message = (
                f"expected {plain(self.advised)} or more, found {describe(node)}: "
                f"{self.consequence}"
            )
            problems.warn(node, key, message)
        return number

    def schema(self) -> dict[str, Any]:
        """Number or integer, with bounds."""
        last = {} if math.isinf(self.maximum) else {"maximum": plain(self.maximum)}
        type_ = "integer" if self.whole else "number"
        return {"type": type_, "minimum": plain(self.minimum), **last}


@dataclass(frozen=True, slots=True)
class Flag(ScalarKind):
    """True or false."""

    def accept(self, value: ScalarValue) -> bool | None:
        """A bool."""
        return value if isinstance(value, bool) else None

    def meant(self, text: str) -> bool | None:
        """One of YAML's words for them, in quotes, and ``y``, which is none."""
        word = text.strip().lower()
        return word in _TRUE if word in _TRUE + _FALSE else None

    def expected(self, value: ScalarValue) -> str:
        """Both."""
        del value
        return "true or false"

    def schema(self) -> dict[str, Any]:
        """Boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Text(ScalarKind):
    """Text that can be an argument of a command, of ``at_least`` so many characters.

    Blanks at its ends are not counted.
    """

    at_least: int = 0

    def accept(self, value: ScalarValue) -> str | None:
        """A str."""
        if not isinstance(value, str) or _UNSAFE.search(value):
            return None
        return value if len(value.strip()) >= self.at_least else None

    def expected(self, value: ScalarValue) -> str:
        """Text; in quotes, for what YAML takes for something else."""
        if isinstance(value, str):
            empty = not value.strip()
            return "text that is not empty" if empty else "text without control characters"
        return "text" if value is None else "text (in quotes)"

    def schema(self) -> dict[str, Any]:
        """String, with a character that is no blank if some are needed."""
        needed = {"minLength": self.at_least, "pattern": r"\S"} if self.at_least else {}
        return {"type": "string", **needed}


@dataclass(frozen=True, slots=True)
class Program(Text):
    """A program's name or path, the first word of a command; what no shell makes one is warned of.

    It is started in ``/``, and neither split at blanks nor expanded.
    """

    at_least: int = 1

    def read(self, node: Node, key: str, problems: Problems) -> str | None:
        """The text."""
        text: str | None = super(Program, self).read(node, key, problems)
        if text is not None and re.search(r"\s", text):
            expected = "a program alone: each argument is an item of its own"
            problems.warn(node, key, f"expected {expected}, found {describe(node)}")
        elif text is not None and "/" in text and not text.startswith("/"):
            expected = "a name, or an absolute path"
            problems.warn(node, key, f"expected {expected}, found {describe(node)}")
        return text


@dataclass(frozen=True, slots=True)
class AbsolutePath(ScalarKind):
    """An absolute path; with ``or_empty`` also the empty text, for none.

    One that does not end in ``ending`` is warned of, with the ``consequence``.
    """

    or_empty: bool = False
    ending: str = ""
    consequence: str = ""

    def read(self, node: Node, key: str, problems: Problems) -> str | None:
        """The path."""
        path: str | None = super(AbsolutePath, self).read(node, key, problems)
        if path and not path.endswith(self.ending):
            message = f"expected a name that ends in {self.ending}, found {describe(node)}"
            problems.warn(node, key, f"{message}: {self.consequence}")
        return path

    def accept(self, value: ScalarValue) -> str | None:
        """A str that begins with a slash."""
        if self.or_empty and value == "":
            return ""
        if isinstance(value, str) and value.startswith("/") and not _UNSAFE.search(value):
            return value
        return None

    def expected(self, value: ScalarValue) -> str:
        """A path."""
        if isinstance(value, str) and value.startswith("/"):
            return "an absolute path without control characters"
        return "an absolute path" + (' or ""' if self.or_empty else "")

    def schema(self) -> dict[str, Any]:
        """String with a leading slash."""
        return {"type": "string", "pattern": "^(/|$)" if self.or_empty else "^/"}


@dataclass(frozen=True, slots=True)
class Choice(ScalarKind):
    """One of a few words; with ``any_case`` in any capitalisation, as AODv2's types."""

    choices: tuple[str, ...]
    any_case: bool = False

    def accept(self, value: ScalarValue) -> str | None:
        """One of ``choices``."""
        if not isinstance(value, str):
            return None
        word = value.strip().lower() if self.any_case else value
        return word if word in self.choices else None

    def expected(self, value: ScalarValue) -> str:
        """The choices."""
        del value
        return f"{'one of ' if len(self.choices) > 1 else ''}{', '.join(self.choices)}"

    def words(self) -> Iterable[str]:
        """The choices."""
        return self.choices

    def schema(self) -> dict[str, Any]:
        """The choices; where case does not count, two ways to write each and a pattern for all."""
        if not self.any_case:
            return {"type": "string", "enum": list(self.choices)}
        offered = [*(word.capitalize() for word in self.choices), *self.choices]
        folded = ("".join(f"[{c.upper()}{c}]" for c in word) for word in self.choices)
        pattern = rf"^\s*({'|'.join(folded)})\s*$"
        return {"type": "string", "anyOf": [{"enum": offered}, {"pattern": pattern}]}
