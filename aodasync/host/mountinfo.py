# SPDX-License-Identifier: MIT
"""What is mounted where, as the kernel lists it. No mount point is ever looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "MOUNTINFO",
    "Mount",
    "mount_of",
    "mounts_named",
    "parse_mountinfo",
    "read_lines",
    "read_mounts",
]

MOUNTINFO: Final = "/proc/self/mountinfo"

_PATH: Final = re.compile(r"(?<![^\s'\"(<>=:])/[^\s'\"()<>;|&]*")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount: its device number (one a superblock), where, its type, and what is mounted.

    ``username`` is that of its options, empty where there is none.
    """

    device: str
    mount_point: str
    kind: str
    source: str
    username: str = ""


def parse_mountinfo(lines: Iterable[str]) -> tuple[Mount, ...]:
    """Parse the lines of :data:`MOUNTINFO` (proc_pid_mountinfo(5)), in their order."""
    found = []
    for line in lines:
        # The kernel escapes the blanks of ASCII alone; names may hold all the others.
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) >= 5 and len(kinds) >= 2:
            point, source = _unescape(fields[4]), _unescape(kinds[1])
            found.append(Mount(fields[2], point, kinds[0], source, _username(kinds[2:3])))
    return tuple(found)


def _username(options: Sequence[str]) -> str:
    """The user name in a superblock's options, of which there may be none."""
    named = (o.partition("=") for each in options for o in each.split(","))
    return next((_unescape(value) for key, _, value in named if key == "username"), "")


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline, backslash and # as octal (mangle, seq_escape).
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def read_mounts() -> tuple[Mount, ...]:
    """What is mounted now, as this process sees it."""
    return parse_mountinfo(read_lines(MOUNTINFO))


def read_lines(path: str) -> list[str]:
    """The lines of a table of mounts, without their ends: a newline is one, and nothing else."""
    return os.fsdecode(Path(path).read_bytes()).split("\n")


def mounts_named(argv: Sequence[str], mounts: Iterable[Mount]) -> dict[str, str]:
    """The mounts that a command would hang with: their mount points by device number.

    They are those that hold a path in one of its words: the program, ``--file=PATH``,
    what a ``sh -c`` line names. Left out are the root, which every command needs,
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


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that holds an absolute path, by its name alone; nothing is looked at."""
    return _mount_of(path, {mount.mount_point: mount for mount in mounts})


def _mount_of(path: str, by_point: dict[str, Mount]) -> Mount | None:
    """The mount that holds a path, by its name alone: a link on the way is not followed."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    while parts:
        mount = by_point.get("/" + "/".join(parts))
        if mount is not None:
            return mount
        parts.pop()
    return by_point.get("/")
