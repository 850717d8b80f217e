# SPDX-License-Identifier: MIT
"""What the agent has learnt, kept in a file: ``/var/lib/aodasync/learnt.json``, mode 0600."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aodasync import safe_files

__all__ = ["STATE_DIR", "load", "save"]

STATE_DIR: Final = Path("/var/lib/aodasync")
_FILE: Final = "learnt.json"
_NEW: Final = "learnt.json.new"
_MOST_BYTES: Final = 4 * 1024 * 1024


def load(directory: Path) -> Mapping[str, Any] | None:
    """What was saved; None if nothing ever was.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, too large, or no JSON.
        TypeError: it is no JSON object.
    """
    try:
        directory_fd = safe_files.open_directory(str(directory))
    except FileNotFoundError:
        return None
    try:
        with os.fdopen(safe_files.open_regular(_FILE, dir_fd=directory_fd), "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    finally:
        os.close(directory_fd)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES} bytes")
    learnt = json.loads(data)
    if not isinstance(learnt, dict):
        raise TypeError("no JSON object")
    return learnt


def save(directory: Path, learnt: Mapping[str, Any]) -> None:
    """Replace what was saved, at once and whole: a new file, synced, then renamed.

    Raises:
        OSError: it could not be written; what was saved before is still there.
    """
    directory.mkdir(mode=safe_files.DIRECTORY_MODE, parents=True, exist_ok=True)
    directory_fd = safe_files.open_directory(str(directory))
    try:
        safe_files.remove(_NEW, dir_fd=directory_fd)
        with os.fdopen(safe_files.create(_NEW, dir_fd=directory_fd), "wb") as file:
            file.write(json.dumps(learnt).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(_NEW, _FILE, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
