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
from typing import Final

from aodasync.actions.action import ActionContext, Collected
from aodasync.actions.compared import compared_action

__all__ = ["STATS", "changed_lines"]

_ARGV: Final = ("cat", "/proc/fs/cifs/Stats")
_HEADING: Final = re.compile(r"\d+\) (.*)")
# Whole counters: no part of an address, a date or a name.
_COUNTER: Final = re.compile(r"(?<![\w.:-])\d+(?![\w.:-])")


async def _read(context: ActionContext) -> tuple[Collected, str]:
    kept = io.BytesIO()
    end = await context.children.run(
        _ARGV, kept, timeout_sec=context.timeout_sec, max_bytes=context.max_bytes // 4
    )
    collected = Collected(
        argv=_ARGV,
        exit_code=end.exit_code,
        truncated=end.truncated,
        timed_out=end.timed_out,
        abandoned=end.abandoned,
        error=end.error,
    )
    return collected, kept.getvalue().decode("utf-8", "replace")


def changed_lines(before: str, after: str) -> str:
    """The lines of ``after`` with a counter that changed, each with its difference.

    A line is known by the share it stands under, its words, and which one of its like
    it is there; so nothing need be known of the file, which differs between kernels.
    """
    old = dict(_lines(before))
    changed: list[str] = []
    heading = ""
    for key, line in _lines(after):
        if key not in old:
            continue
        was = [int(number) for number in _COUNTER.findall(old[key])]
        now = [int(number) for number in _COUNTER.findall(line)]
        if was != now:
            if key[0] != heading:
                heading = key[0]
                changed.append(f"{heading}\n")
            steps = iter([new - then for new, then in zip(now, was, strict=True)])
            changed.append(f"{_COUNTER.sub(lambda n, s=steps: _step(n[0], next(s)), line)}\n")  # type: ignore[misc]
    return "".join(changed) or "nothing changed\n"


def _step(number: str, step: int) -> str:
    return f"{number} ({step:+d})" if step else number


def _lines(text: str) -> list[tuple[tuple[str, str, int], str]]:
    heading = ""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for line in text.splitlines():
        if share := _HEADING.match(line):
            heading = share[1].rstrip()
            continue
        words = (heading, _COUNTER.sub("#", line))
        found.append(((*words, seen[words]), line))
        seen[words] += 1
    return found


STATS = compared_action("stats", "cifsstats.log", _read, changed_lines, argv=_ARGV)
