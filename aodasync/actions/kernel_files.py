# SPDX-License-Identifier: MIT
"""Small files of /proc and /sys that are safe to read in the agent's own process. Blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["read_small", "section"]

_MOST_BYTES: Final = 1 << 20


def read_small(path: str) -> str:
    """The first megabyte of a file.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return file.read(_MOST_BYTES)


def section(title: str, text: str) -> str:
    """A part of a file of evidence, under its title."""
    return f"==> {title} <==\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}"
