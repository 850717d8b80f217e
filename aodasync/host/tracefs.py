# SPDX-License-Identifier: MIT
"""Where the kernel's tracing file system is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["TRACEFS", "tracefs"]

TRACEFS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def tracefs() -> Path:
    """Where tracefs is, as far as one can tell; it may not be mounted."""
    return next((path for path in TRACEFS if (path / "events").is_dir()), TRACEFS[0])
