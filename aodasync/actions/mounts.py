# SPDX-License-Identifier: MIT
"""The SMB mounts as the kernel lists them. A mount point itself is never looked at."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import section
from aodasync.host.mountinfo import MOUNTINFO, Mount, parse_mountinfo, read_lines
from aodasync.host.threads import in_thread

__all__ = ["MOUNTS", "read_smb_mounts", "smb_mounts"]

_TYPES: Final = frozenset({"cifs", "smb3"})
_MOUNTS: Final = "/proc/mounts"


def smb_mounts(mountinfo: Iterable[str]) -> tuple[Mount, ...]:
    """The shares among the lines of mountinfo, bind mounts left out."""
    found: dict[str, Mount] = {}
    for mount in parse_mountinfo(mountinfo):
        if mount.kind in _TYPES:
            found.setdefault(mount.device, mount)
    return tuple(found.values())


def _is_smb(line: str, path: str) -> bool:
    words = line.partition(" - ")[2].split(" ")[:1] if path == MOUNTINFO else line.split(" ")[2:3]
    return not _TYPES.isdisjoint(words)


async def read_smb_mounts() -> tuple[Mount, ...]:
    """The shares mounted now, as the agent sees them."""
    return smb_mounts(await _read(MOUNTINFO))


async def _read(path: str) -> list[str]:
    return await in_thread(partial(read_lines, path), abandon=True)


async def _collect(context: ActionContext) -> Collected:
    parts = []
    for path in (MOUNTINFO, _MOUNTS):
        lines = await _read(path)
        parts.append(section(path, "".join(f"{line}\n" for line in lines if _is_smb(line, path))))
    return Collected(truncated=await context.write("".join(parts)))


MOUNTS = Action("mounts", "mounts.log", Cost.TABLE, _collect, path=f"{MOUNTINFO}, {_MOUNTS}")
