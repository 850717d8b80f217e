# SPDX-License-Identifier: MIT
"""This host, as manifests state it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from aodasync import __version__

__all__ = ["host_facts"]

_CIFS = Path("/sys/module/cifs")


def host_facts() -> dict[str, Any]:
    """Agent, kernel and cifs module; reads two small sysfs files."""
    kernel = os.uname()
    return {
        "agent": {"version": __version__, "python": platform.python_version()},
        "kernel": {
            "release": kernel.release,
            "version": kernel.version,
            "machine": kernel.machine,
        },
        "host": kernel.nodename,
        "cifs": {
            "loaded": _CIFS.is_dir(),
            "version": _attribute("version"),
            "srcversion": _attribute("srcversion"),
        },
    }


def _attribute(name: str) -> str | None:
    try:
        return (_CIFS / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
