# SPDX-License-Identifier: MIT
"""What is mounted where, as the kernel lists it. No mount point is ever looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["MOUNTINFO", "Mount", "mounts_named", "parse_mountinfo", "read_mounts"]

MOUNTINFO: Final = "/proc/self/mountinfo"

_PATH: Final = re.compile(r"(?<![^\s'\"(<>=:])/[^\s'\"()<>;|&]*")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount: its device number (one a superblock), where, its type, and what is mounted."""

    device: str
    mount_point: str
    kind: str
    source: str


def parse_mountinfo(lines: Iterable[str]) -> tuple[Mount, ...]:
    """Parse the lines of :data:`MOUNTINFO` (proc_pid_mountinfo(5)), in their order."""
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 2:
            found.append(Mount(fields[2], _unescape(fields[4]), kinds[0], _unescape(kinds[1])))
    return tuple(found)


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline, backslash and # as octal (mangle, seq_escape).
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def read_mounts() -> tuple[Mount, ...]:
    """What is mounted now, as this process sees it."""
    text = Path(MOUNTINFO).read_text(encoding="utf-8", errors="surrogateescape")
    return parse_mountinfo(text.split("\n"))


def mounts_named(argv: Sequence[str], mounts: Iterable[Mount]) -> dict[str, str]:
    """The mounts that a command would hang with: their mount points by device number.

    They are those that hold a path in one of its words: the program, ``--file=PATH``,
    what a ``sh -c`` line names. Left out are the root, which nobody could do without,
    and /proc, whose files hang one by one.
    """
    # Of several mounts on one point, the last covers the others.
    by_point = {mount.mount_point: mount for mount in mounts}
    found = {}
    for word in argv:
        for path in [word] if word.startswith("/") else _PATH.findall(word):
            mount = _mount_of(path, by_point)
            if mount is not None and mount.mount_point != "/" and mount.kind != "proc":
                found[mount.device] = mount.mount_point
    return found


def _mount_of(path: str, by_point: dict[str, Mount]) -> Mount | None:
    """The mount that holds a path, by its name alone: a link on the way is not followed."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    while parts:
        mount = by_point.get("/" + "/".join(parts))
        if mount is not None:
            return mount
        parts.pop()
    return by_point.get("/")
