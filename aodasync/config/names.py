# SPDX-License-Identifier: MIT
"""Values that are names: of commands, of codes, and the kinds that read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aodasync.config.document import Node, Place, ScalarValue
from aodasync.config.kinds import ScalarKind
from aodasync.config.problems import Problems
from aodasync.smb.commands import COMMANDS
from aodasync.smb.errnos import ERRNO_ALIASES, ERRNOS
from aodasync.smb.ntstatus import STATUS_CODES, status_errno, status_name

__all__ = [
    "CODE",
    "CODE_NAMES",
    "COMMAND",
    "COMMAND_NAMES",
    "ERRNO",
    "ERRNO_NAMES",
    "STATUS",
    "Name",
    "Named",
]


@dataclass(frozen=True, slots=True)
class Name(Place):
    """A name and where it was read, for problems that are found later."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Named(ScalarKind):
    """The name of ``what``, out of ``known``, which maps every spelling to the one in use.

    With ``open_ended`` other names pass as they are, to be checked elsewhere. In the
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

    def read(self, node: Node, key: str, problems: Problems) -> Name | None:
        """The name in use, and its place."""
        name = super(Named, self).read(node, key, problems)
        return None if name is None else Name(node.file, node.line, node.column, name, key)

    def schema(self) -> dict[str, Any]:
        """A reference to the definition."""
        return {"$ref": f"#/$defs/{self.label}"}

    def definition(self) -> dict[str, Any]:
        """The names; with ``open_ended`` any text besides."""
        names = {"enum": list(self.known)}
        return {"type": "string", **({"anyOf": [names, {}]} if self.open_ended else names)}


COMMAND_NAMES: Final[Mapping[str, str]] = MappingProxyType({name: name for name in COMMANDS})
"""Commands by name, in command order."""

ERRNO_NAMES: Final = tuple(sorted(ERRNOS))
"""Every errno that can be tracked, sorted: mode ``all``."""


@dataclass(frozen=True, slots=True)
class _Statuses(Mapping[str, str]):
    """The name that is used, by each name of an NTSTATUS that is an error; after the others.

    A view: as dictionaries, these names took 150 KB for as long as the agent runs.
    """

    prefix: str
    others: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        if name in self.others:
            return self.others[name]
        code = STATUS_CODES[name]
        used = status_name(code)
        if not status_errno(code) or not used.startswith(self.prefix):
            raise KeyError(name)
        return used

    def __iter__(self) -> Iterator[str]:
        yield from self.others
        yield from (name for name in STATUS_CODES if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


_ERRNOS: Final = {name: name for name in ERRNO_NAMES} | dict(ERRNO_ALIASES)

CODE_NAMES: Final[Mapping[str, str]] = _Statuses("", _ERRNOS)
"""The name that is used, by every name that is accepted: errnos, and NTSTATUS that are errors."""

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,8}")
_FIRST_ERROR: Final = 0x8000_0000


@dataclass(frozen=True, slots=True)
class _Code(Named):
    """A code by its name; an NTSTATUS also by its number, of which not all have a name."""

    def accept(self, value: ScalarValue) -> str | None:
        """The name in use, for a number without a name its digits: ``0xC0001234``."""
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value, 16)
        if isinstance(value, bool) or not isinstance(value, int):
            return super(_Code, self).accept(value)
        return status_name(value) if _FIRST_ERROR <= value <= 0xFFFF_FFFF else None

    def definition(self) -> dict[str, Any]:
        """The names, and the numbers of errors and warnings."""
        numbers = {"type": "integer", "minimum": _FIRST_ERROR, "maximum": 0xFFFF_FFFF}
        digits = {"type": "string", "pattern": "^0[xX][89a-fA-F][0-9a-fA-F]{7}$"}
        return {"anyOf": [super(_Code, self).definition(), digits, numbers]}


CODE: Final = _Code("code", "an errno, or the name or number of an NTSTATUS error", CODE_NAMES)
STATUS: Final = _Code("status", "an NTSTATUS error, or its number", _Statuses("STATUS_", {}))
ERRNO: Final = Named("errno", "an errno", _ERRNOS)
COMMAND: Final = Named("command", "an SMB2 command", COMMAND_NAMES)
