# SPDX-License-Identifier: MIT
"""Small files of state that outlive the agent: JSON objects, mode 0600. Everything blocks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aodasync.host import safe_files
from aodasync.host.untrusted_json import parse_json

__all__ = ["CACHE_DIR", "STATE_DIR", "load", "save"]

STATE_DIR: Final = Path("/var/lib/aodasync")
"""Where the agent keeps them."""

CACHE_DIR: Final = Path("/var/cache/aodasync")
"""For what can be made anew: byte code, captures."""

_MOST_BYTES: Final = 4 * 1024 * 1024


def load(directory: Path, file: str) -> dict[str, Any] | None:
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
        with os.fdopen(safe_files.open_regular(file, dir_fd=directory_fd), "rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    finally:
        os.close(directory_fd)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES} bytes")
    saved = parse_json(data)
    if not isinstance(saved, dict):
        raise TypeError("no JSON object")
    return saved


def save(directory: Path, file: str, state: Mapping[str, Any], *, synced: bool = True) -> None:
    """Replace what was saved, at once and whole: a new file, then renamed.

    It outlives a crash of the kernel only if it is ``synced``.

    Raises:
        OSError: it could not be written; what was saved before is still there.
    """
    directory.mkdir(mode=safe_files.DIRECTORY_MODE, parents=True, exist_ok=True)
    directory_fd = safe_files.open_directory(str(directory))
    new = f"{file}.new"
    try:
        safe_files.remove(new, dir_fd=directory_fd)
        with os.fdopen(safe_files.create(new, dir_fd=directory_fd), "wb") as opened:
            opened.write(json.dumps(state).encode("ascii"))
            if synced:
                opened.flush()
                os.fsync(opened.fileno())
        os.replace(new, file, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        if synced:
            os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
