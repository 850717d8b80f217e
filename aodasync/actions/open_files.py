# SPDX-License-Identifier: MIT
"""/proc/fs/cifs/open_files: every open handle with its share, file id, counts and process."""

from __future__ import annotations

from aodasync.actions.command import kernel_table

__all__ = ["OPEN_FILES"]

OPEN_FILES = kernel_table("open_files", "open_files.log", "/proc/fs/cifs/open_files")
