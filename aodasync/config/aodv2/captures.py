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
        nodes = entry.value.items if isinstance(entry.value, Items) else ()
        if arguments is None or len(arguments) < len(nodes):
            return None
        capture, rules = cls(tool, protocol, arguments, nodes, entry, key), TOOLS[tool]
        missing = [option for option in rules.required if option not in arguments]
        if missing:
            options = f"the options {', '.join(rules.required)} as items of their own"
            problems.error(entry, key, f"expected {options}, found no {missing[0]}")
        files = [i for i, a in enumerate(arguments) if a.partition("=")[0] in rules.forbidden]
        for index in files:
            message = f"expected no option that names a file, found {quoted(arguments[index])}"
            problems.error(*capture.argument(index), message)
        return None if missing or files else capture

    def argument(self, index: int) -> tuple[Place, str]:
        """The place and the key of an argument."""
        return self.places[index], f"{self.key}[{index}]"

    def whole(self, option: str, least: int, problems: Problems) -> int | None:
        """The number after the last such option, None after a warning if there is none."""
        places = [index for index, argument in enumerate(self.arguments) if argument == option]
        if not places:
            return None
        text = next(iter(self.arguments[places[-1] + 1 :]), "")
        if text.isascii() and text.isdigit() and least <= int(text[:_MOST_DIGITS]):
            return int(text[:_MOST_DIGITS])
        at = min(places[-1] + 1, len(self.arguments) - 1)
        found = quoted(text) if at > places[-1] else "no more"
        message = f"expected a whole number from {least} after {option}, found {found}"
        problems.warn(*self.argument(at), f"{message}: the default is used")
        return None

    def report_others(self, first: Capture, problems: Problems) -> None:
        """Report the first argument that is not as it is in ``first``."""
        pairs = enumerate(zip_longest(first.arguments, self.arguments))
        index, (wanted, found) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        place, key = (self.place, self.key) if found is None else self.argument(index)
        there, here = ("no more" if text is None else quoted(text) for text in (wanted, found))
        same = first.place if wanted is None else first.places[index]
        where = f"in {line_of(same, place)}"
        problems.error(place, key, f"expected the same arguments as {where}: {there}, found {here}")

    def report_ignored(self, problems: Problems) -> None:
        """Warn of the arguments that have no equivalent here, where the first of them is."""
        used = TOOLS[self.tool].used
        pairs = enumerate(zip(("", *self.arguments), self.arguments, strict=False))
        rest = [i for i, (before, here) in pairs if before not in used and here not in used]
        if rest:
            ignored = " ".join(self.arguments[index] for index in rest)
            message = f"ignored: {quoted(ignored)}; see watcher.captures"
            problems.warn(self.places[rest[0]], self.key, message)


def limits(capture: Capture, kinds: Mapping[str, Number], problems: Problems) -> dict[str, int]:
    """The settings of ``collector`` that the arguments stand for, within the bounds of ``kinds``.

    tcpdump keeps ``-W`` files of ``-C`` million bytes, and ``-s`` bytes of each packet,
    of which 0 means all.
    """
    if capture.tool != "tcpdump":
        return {}
    size, files = (capture.whole(option, 1, problems) for option in ("-C", "-W"))
    packet = capture.whole("-s", 0, problems)
    wanted = {
        "tcpdump_mb": ("-C", " times -W", size * files if size and files else None),
        "tcpdump_packet_bytes": ("-s", "", 262_144 if packet == 0 else packet),
    }
    found = {}
    for key, (option, times, number) in wanted.items():
        if number is None:
            continue
        lowest, highest = int(kinds[key].minimum), int(kinds[key].maximum)
        found[key] = min(max(number, lowest), highest)
        if found[key] != number:
            message = f"expected {lowest} to {highest} of {option}{times}, found {number}"
            at = len(capture.arguments) - capture.arguments[::-1].index(option)
            problems.warn(*capture.argument(at), f"{message}: {found[key]} is used")
    return found
