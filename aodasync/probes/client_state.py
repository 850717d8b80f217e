# SPDX-License-Identifier: MIT
"""Whether the kernel's SMB client is there now."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CIFS_MODULE", "cifs_loaded"]

CIFS_MODULE: Final = Path("/sys/module/cifs")


def cifs_loaded(module: Path = CIFS_MODULE) -> bool:
    """Whether the client is live; one built into the kernel has no ``initstate``."""
    try:
        return (module / "initstate").read_text().strip() == "live"
    except FileNotFoundError:
        return module.is_dir()
    except OSError:
        return False
