# SPDX-License-Identifier: MIT
"""The SMB mounts as the kernel lists them. A mount point itself is never looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import aiofiles

from aodasync.actions.action import Action, ActionContext, Collected, Cost

__all__ = ["MOUNTS", "SmbMount", "read_smb_mounts", "smb_mounts"]

_TYPES: Final = frozenset({"cifs", "smb3"})
_MOUNTINFO: Final = "/proc/self/mountinfo"
_MOUNTS: Final = "/proc/mounts"


@dataclass(frozen=True, slots=True)
class SmbMount:
    """A mounted share: its device number (one a superblock), where, and ``//server/share``."""

    device: str
    mount_point: str
    source: str


def smb_mounts(mountinfo: Iterable[str]) -> tuple[SmbMount, ...]:
    """Parse the lines of mountinfo (proc_pid_mountinfo(5)) for shares, bind mounts left out."""
    found: dict[str, SmbMount] = {}
    for line in mountinfo:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 2 and kinds[0] in _TYPES:
            mount = SmbMount(fields[2], _unescape(fields[4]), _unescape(kinds[1]))
            found.setdefault(mount.device, mount)
    return tuple(found.values())


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline, backslash and # as octal (mangle, seq_escape).
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_smb(line: str, path: str) -> bool:
    fields = line.partition(" - ")[2].split()[:1] if path == _MOUNTINFO else line.split()[2:3]
    return not _TYPES.isdisjoint(fields)


async def read_smb_mounts() -> tuple[SmbMount, ...]:
    """The shares mounted now, as the agent sees them."""
    return smb_mounts((await _read(_MOUNTINFO)).splitlines())


async def _read(path: str) -> str:
    async with aiofiles.open(path, encoding="utf-8", errors="surrogateescape") as file:
        return await file.read()


async def _collect(context: ActionContext) -> Collected:
    parts = []
    for path in (_MOUNTINFO, _MOUNTS):
        lines = (await _read(path)).splitlines(keepends=True)
        parts += [f"==> {path} <==\n", *(line for line in lines if _is_smb(line, path))]
    return Collected(truncated=await context.write("".join(parts)))


MOUNTS = Action("mounts", "mounts.log", Cost.TABLE, _collect, path=f"{_MOUNTINFO}, {_MOUNTS}")
