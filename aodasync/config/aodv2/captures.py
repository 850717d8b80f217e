# SPDX-License-Identifier: MIT
"""``tcpdump`` and ``trace-cmd`` with arguments: checked as AODv2 does, never passed on.

Our captures are bounded by settings of their own. What the arguments say about the same
bounds becomes these settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from aodasync.config.document import Entry, Items, Place, line_of, quoted
from aodasync.config.kinds import Number, Text
from aodasync.config.problems import Problems
from aodasync.config.section import ListOf

__all__ = ["TOOLS", "Capture", "Tool", "limits"]

_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Tool:
    """Options that AODv2 requires and forbids, each as an item by itself."""

    required: tuple[str, ...]
    forbidden: tuple[str, ...]
    used: tuple[str, ...] = ()


TOOLS: Final[Mapping[str, Tool]] = MappingProxyType(
    {
        "tcpdump": Tool(("-C", "-W"), ("-w", "--write-file"), used=("-C", "-W", "-s")),
        "trace-cmd": Tool(("-e",), ("-o",)),
    }
)


@dataclass(frozen=True, slots=True)
class Capture:
    """A tool as an anomaly of ``protocol`` names it; ``places`` are those of the arguments."""

    tool: str
    protocol: str
    arguments: tuple[str, ...]
    places: tuple[Place, ...]
    place: Place
    key: str

    @classmethod
    def read(
        cls, tool: str, protocol: str, entry: Entry, key: str, problems: Problems
    ) -> Capture | None:
        """The capture, or None after reporting what is wrong with its arguments."""
        arguments = ListOf(Text()).read(entry.value, key, problems)
        if arguments is None or problems.errors_below(key):
            return None
        rules = TOOLS[tool]
        missing = [option for option in rules.required if option not in arguments]
        if missing:
            options = f"the options {', '.join(rules.required)} as items of their own"
            problems.error(entry, key, f"expected {options}, found no {missing[0]}")
        nodes = entry.value.items if isinstance(entry.value, Items) else ()
        for index, (argument, node) in enumerate(zip(arguments, nodes, strict=True)):
            if argument.partition("=")[0] in rules.forbidden:
                message = f"expected no option that names a file, found {quoted(argument)}"
                problems.error(node, f"{key}[{index}]", message)
        if problems.errors_below(key):
            return None
        return cls(tool, protocol, arguments, tuple(nodes), entry, key)

    def value(self, option: str) -> str | None:
        """What follows the last such option."""
        values = [
            b for a, b in zip(self.arguments, self.arguments[1:], strict=False) if a == option
        ]
        return values[-1] if values else None

    def report_others(self, first: Capture, problems: Problems) -> None:
        """Report the first argument that is not as it is in ``first``."""
        pairs = enumerate(zip_longest(first.arguments, self.arguments))
        index, (wanted, found) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        place, key = self.place, self.key
        if found is not None:
            place, key = self.places[index], f"{key}[{index}]"
        there, here = ("no more" if text is None else quoted(text) for text in (wanted, found))
        same = first.place if wanted is None else first.places[index]
        where = f"in {line_of(same, place)}"
        problems.error(place, key, f"expected the same arguments as {where}: {there}, found {here}")

    def ignored(self) -> str:
        """The arguments that have no equivalent here."""
        used = TOOLS[self.tool].used
        rest = [
            argument
            for before, argument in zip(("", *self.arguments), self.arguments, strict=False)
            if argument not in used and before not in used
        ]
        return " ".join(rest)


def limits(capture: Capture, kinds: Mapping[str, Number], problems: Problems) -> dict[str, int]:
    """The settings of ``collector`` that the arguments stand for, within the bounds of ``kinds``.

    tcpdump keeps ``-W`` files of ``-C`` million bytes, and ``-s`` bytes of each packet,
    of which 0 means all.
    """
    if capture.tool != "tcpdump":
        return {}
    size, files = (_whole(capture, option, 1, problems) for option in ("-C", "-W"))
    packet = _whole(capture, "-s", 0, problems)
    wanted = {
        "tcpdump_mb": ("-C times -W", size * files if size and files else None),
        "tcpdump_packet_bytes": ("-s", 262_144 if packet == 0 else packet),
    }
    found = {}
    for key, (options, number) in wanted.items():
        if number is None:
            continue
        lowest, highest = int(kinds[key].minimum), int(kinds[key].maximum)
        found[key] = min(max(number, lowest), highest)
        if found[key] != number:
            message = (
                f"expected {lowest} to {highest} of {options}, found {number}: {found[key]} is used"
            )
            problems.warn(capture.place, capture.key, message)
    return found


def _whole(capture: Capture, option: str, least: int, problems: Problems) -> int | None:
    text = capture.value(option)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and least <= int(text[:_MOST_DIGITS]):
        return int(text[:_MOST_DIGITS])
    number = f"a whole number from {least}"
    message = f"expected {number} after {option}, found {quoted(text)}: the default is used"
    problems.warn(capture.place, capture.key, message)
    return None
