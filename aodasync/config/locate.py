# SPDX-License-Identifier: MIT
"""Where the configuration is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SYSTEM_PATH", "default_path", "find"]

SYSTEM_PATH: Final = Path("/etc/aodasync/config.yaml")
"""The administrator's file."""

_PACKAGE: Final = Path(__file__).parents[1]


def default_path() -> Path:
    """The file that comes with the program: in the package, or beside it in a checkout."""
    packaged = _PACKAGE / "_config" / "config.yaml"
    return packaged if packaged.is_file() else _PACKAGE.parent / "config" / "config.yaml"


def find(explicit: Path | None) -> Path:
    """The file to use: ``explicit``, else the administrator's, else the packaged one.

    A file in /etc that may not be read is the one to use all the same; reading it
    then says why it cannot be.
    """
    if explicit is not None:
        return explicit
    try:
        SYSTEM_PATH.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return default_path()
    except OSError:
        pass
    return SYSTEM_PATH
