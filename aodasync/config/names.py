# SPDX-License-Identifier: MIT
"""Kinds of values that are words out of a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aodasync.config.document import Node, ScalarValue
from aodasync.config.findings import Findings
from aodasync.config.kinds import ScalarKind

__all__ = ["Choice", "Name", "Named"]


@dataclass(frozen=True, slots=True)
class Choice(ScalarKind):
    """One of a few words; ``any_case``: however its letters are capitalised, as AODv2's types."""

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
        return f"one of {', '.join(self.choices)}"

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


@dataclass(frozen=True, slots=True)
class Name:
    """A name, and where it was read, for what is to be said of it later."""

    text: str
    line: int
    column: int
    key: str


@dataclass(frozen=True, slots=True)
class Named(ScalarKind):
    """The name of ``what``, out of ``known``, which maps every spelling to the one in use.

    With ``open_ended`` other names pass as they are: they are judged elsewhere. In the
    schema of the whole file the names stand once, as ``$defs/label``.
    """

    label: str
    what: str
    known: Mapping[str, str]
    open_ended: bool = False

    def accept(self, value: ScalarValue) -> str | None:
        """The name in use."""
        if not isinstance(value, str):
            return None
        return self.known.get(value, value if self.open_ended else None)

    def expected(self, value: ScalarValue) -> str:
        """What it names."""
        del value
        return f"the name of {self.what}"

    def words(self) -> Iterable[str]:
        """The known names."""
        return self.known

    def read(self, node: Node, key: str, findings: Findings) -> Name | None:
        """The name in use, and its place."""
        name = super(Named, self).read(node, key, findings)
        return None if name is None else Name(name, node.line, node.column, key)

    def schema(self) -> dict[str, Any]:
        """A reference to the definition."""
        return {"$ref": f"#/$defs/{self.label}"}

    def definition(self) -> dict[str, Any]:
        """The names; with ``open_ended`` any text besides."""
        names = {"enum": list(self.known)}
        return {"type": "string", **({"anyOf": [names, {}]} if self.open_ended else names)}
