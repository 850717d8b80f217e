# SPDX-License-Identifier: MIT
"""``aodasync probe``: byte code for hosts without a compiler, exported and imported."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TextIO

from aodasync.errors import NotPermittedError, RequirementError
from aodasync.host.safe_files import NotRegularError, write_new
from aodasync.probes.cifs_module import cifs_loaded
from aodasync.probes.exchange import export_probes, import_probes

__all__ = ["export_to", "import_from"]


def _require_root() -> None:
    if os.geteuid() != 0:
        raise NotPermittedError("only root may read or keep byte code", hint="run it with sudo")


def export_to(path: Path, cache_dir: Path, *, out: TextIO) -> int:
    """Write this host's byte code to a file of mode 0600, or to ``out`` if it is ``-``."""
    _require_root()
    if not cifs_loaded():
        raise RequirementError(
            "the kernel's SMB client is not loaded", hint="mount a share, or modprobe cifs"
        )
    text = asyncio.run(export_probes(cache_dir))
    if str(path) == "-":
        out.write(text)
        return 0
    try:
        write_new(path, text.encode(), replace=True)
    except OSError as error:
        raise RequirementError(f"{path}: {str(error.strerror).lower()}") from None
    except NotRegularError as error:
        raise RequirementError(str(error)) from None
    out.write(f"{path}\n")
    return 0


def import_from(path: Path, *, out: TextIO) -> int:
    """Keep the byte code of a file for the agent's next start."""
    _require_root()
    out.write(import_probes(path) + "\n")
    return 0
