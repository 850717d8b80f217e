# SPDX-License-Identifier: MIT
"""/proc/fs/cifs/Stats: totals a command, slow responses, reconnects; and what changed meanwhile.

Opened for reading alone: a write resets it. Read by a child, since
``cifs_stats_proc_show`` walks the servers under the spinlock
``cifs_tcp_ses_lock``, the one over which DebugData could deadlock.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from aodasync.actions.action import ActionContext, Collected
from aodasync.actions.compared import compared_action

__all__ = ["STATS", "changed_lines"]

_ARGV: Final = ("cat", "/proc/fs/cifs/Stats")
_HEADING: Final = re.compile(r"\d+\) (?P<name>.*)")
_DISCONNECTED: Final = "\tDISCONNECTED "
_FIRST_OF_CONNECTION: Final = re.compile("Max requests in flight|Total time spent processing")
_ROW: Final = re.compile(r"  (?P<command>\d+)\t+-?\d+\t")
_REQUESTS: Final = re.compile(r"(?:SMBs: |  \d+\t+)(?P<count>-?\d+)\b")
# Whole counters: no part of an address, a date or a name. The kernel prints most as signed.
_COUNTER: Final = re.compile(r"(?<![\w.:-])-?\d+(?![\w.:-])")
_WRAP: Final = 1 << 32
_Key: TypeAlias = tuple[str, str, int]


async def _read(context: ActionContext) -> tuple[Collected, str]:
    kept = io.BytesIO()
    end = await context.children.run(
        _ARGV, kept, timeout_sec=context.timeout_sec, max_bytes=context.max_bytes // 4
    )
    return Collected.of(_ARGV, end), kept.getvalue().decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of Stats: what is of all, of one connection, or of one share.

    A connection has neither name nor number: ``name`` is that of its shares.
    """

    kind: Literal["all", "connection", "share"]
    name: str
    disconnected: bool
    lines: tuple[str, ...]
    shares: tuple[str, ...] = ()

    def requests(self) -> list[int]:
        """Its counts of requests, by command or in all: they only grow."""
        found = (_REQUESTS.match(line) for line in self.lines)
        return [int(match["count"]) for match in found if match]


def changed_lines(before: str, after: str) -> str:
    """The lines of ``after`` with a counter that changed, each with its difference.

    A line is known by its section, its words, and which one of its like it is there; so
    nothing need be known of the counters, which differ between kernels. A connection or a
    share that was not there before is left out: it has no difference.
    """
    old = dict(_known(_sections(before)))
    found = _known(_sections(after))
    several = sum(section.kind == "connection" for _, section in found) > 1
    changed: list[str] = []
    for key, section in found:
        was = old.get(key) or _with_a_common_share(section, old)
        if was is None or any(
            _grown(o, n) < 0 for n, o in zip(section.requests(), was.requests(), strict=False)
        ):
            continue
        lines = _changed(was.lines, section.lines)
        if section.disconnected != was.disconnected:
            state = "became DISCONNECTED" if section.disconnected else "is connected again"
            changed.append(f"{section.name} {state}\n")
        elif lines and section.kind == "share":
            changed.append(f"{section.name}\n")
        elif lines and section.kind == "connection" and several:
            changed.append(f"connection of {section.name or 'no share'}\n")
        changed += lines
    return "".join(changed) or "nothing changed\n"


def _with_a_common_share(new: _Section, old: dict[_Key, _Section]) -> _Section | None:
    """The connection that it was, if a share was mounted or unmounted meanwhile."""
    common = [was for was in old.values() if not set(new.shares).isdisjoint(was.shares)]
    return common[0] if len(common) == 1 else None


def _changed(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    old = dict(_numbered(before))
    changed = []
    for key, line in _numbered(after):
        if key not in old:
            continue
        was = [int(number) for number in _COUNTER.findall(old[key])]
        now = [int(number) for number in _COUNTER.findall(line)]
        if was != now and len(was) == len(now):
            steps = iter([_grown(then, new) for new, then in zip(now, was, strict=True)])
            changed.append(f"{_COUNTER.sub(lambda n, s=steps: _step(n[0], next(s)), line)}\n")  # type: ignore[misc]
    return changed


def _grown(then: int, now: int) -> int:
    """How much a counter has grown; one that the kernel counts in 32 bits may have passed them."""
    if min(then, now) >= 0:
        return now - then
    return (now - then + _WRAP // 2) % _WRAP - _WRAP // 2


def _step(number: str, step: int) -> str:
    return f"{number} ({step:+d})" if step else number


def _numbered(lines: tuple[str, ...]) -> list[tuple[tuple[str, int], str]]:
    """Lines by their words and which one of their like they are."""
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        row = _ROW.match(line)
        words = row["command"] if row else _COUNTER.sub("#", line)
        found.append(((words, seen[words]), line))
        seen[words] += 1
    return found


def _known(sections: list[_Section]) -> list[tuple[_Key, _Section]]:
    """Sections by kind, name, and which one of their like they are, counted from the end.

    The kernel lists new connections, sessions and shares first.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found: list[tuple[_Key, _Section]] = []
    for section in reversed(sections):
        like = (section.kind, section.name)
        found.append(((*like, seen[like]), section))
        seen[like] += 1
    return found[::-1]


def _sections(text: str) -> list[_Section]:
    parts: list[_Section] = []
    kind: Literal["all", "connection", "share"] = "all"
    name, disconnected = "", False
    lines: list[str] = []

    def close() -> None:
        parts.append(_Section(kind, name, disconnected, tuple(lines)))
        lines.clear()

    for line in text.split("\n"):
        share = _HEADING.match(line)
        first = _FIRST_OF_CONNECTION.match(line) is not None
        if share or first or (kind != "connection" and _ROW.match(line)):
            if not (first and kind == "connection" and not any(map(_ROW.match, lines))):
                close()
            kind, name, disconnected = "connection", "", False
            if share:
                kind, disconnected = "share", share["name"].endswith(_DISCONNECTED)
                name = share["name"].removesuffix(_DISCONNECTED).rstrip()
                continue
        lines.append(line)
    close()
    return _named(parts)


def _named(parts: list[_Section]) -> list[_Section]:
    """The sections, those of connections with the names of the shares that follow."""
    found = []
    shares: list[str] = []
    for part in reversed(parts):
        if part.kind == "share":
            shares.insert(0, part.name)
            found.append(part)
        else:
            name = ", ".join(shares)
            is_all = part.kind == "all"
            found.append(part if is_all else replace(part, name=name, shares=tuple(shares)))
            shares = []
    return found[::-1]


STATS = compared_action("stats", "cifsstats.log", _read, changed_lines, argv=_ARGV)
