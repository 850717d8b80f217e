# SPDX-License-Identifier: MIT
"""/proc/fs/cifs/dfscache: which servers DFS names lead to (CONFIG_CIFS_DFS_UPCALL)."""

from __future__ import annotations

from aodasync.actions.command import kernel_table

__all__ = ["DFSCACHE"]

DFSCACHE = kernel_table("dfscache", "dfscache.log", "/proc/fs/cifs/dfscache")
