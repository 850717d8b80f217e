# SPDX-License-Identifier: MIT
"""Threads that wait at the same place in the kernel, once: out of ``stacks.log``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from aodasync.report.html import more, section, short, text

__all__ = ["folded", "stacks"]

_TITLE: Final = re.compile(r"^==> (.*) <==$")
_FRAME: Final = re.compile(r"^\[<0*>\] ([\w.]+)")
_MOST: Final = 20
_MOST_NAMED: Final = 20


def folded(log: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """(functions, innermost first; titles of the threads there), most threads first."""
    found: dict[tuple[str, ...], list[str]] = {}
    title, frames = "", list[str]()
    for line in [*log.split("\n"), "==> end <=="]:
        if titled := _TITLE.match(line):
            if frames:
                found.setdefault(tuple(frames), []).append(title)
            title, frames = titled[1], []
        elif frame := _FRAME.match(line):
            frames.append(frame[1])
    return sorted(found.items(), key=lambda item: -len(item[1]))


def stacks(texts: Mapping[str, str]) -> str:
    """A part of the page; nothing where no stack was collected."""
    groups = folded(texts.get("stacks.log", ""))
    shown = []
    for frames, titles in groups[:_MOST]:
        named = ", ".join(titles[:_MOST_NAMED])
        others = f" and {len(titles) - _MOST_NAMED} more" if len(titles) > _MOST_NAMED else ""
        count = f"{len(titles)} thread{'s' if len(titles) > 1 else ''}"
        head = f"<b>{count}</b><span>{short(' < '.join(frames[:3]))}</span>"
        body = f"<pre>{text(chr(10).join(frames))}</pre>"
        shown.append(
            f"<details><summary>{head}</summary>"
            f'<p class="dim">{text(named + others)}</p>{body}</details>'
        )
    return section("Where threads wait", *shown, more(len(groups) - _MOST))
