# SPDX-License-Identifier: MIT
"""Network namespaces, by the inode number of their file (namespaces(7))."""

from __future__ import annotations

from pathlib import Path

__all__ = ["own_netns"]


def own_netns() -> int:
    """That of this process; 0 where the kernel has none."""
    try:
        return Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return 0
