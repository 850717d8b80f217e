# SPDX-License-Identifier: MIT
"""This host and its boot, as manifests state them."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from aodasync import __version__

__all__ = ["boot", "host_facts"]

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
        "boot": boot(),
        "cifs": {
            "loaded": _CIFS.is_dir(),
            "version": _attribute("version"),
            "srcversion": _attribute("srcversion"),
        },
    }


def boot() -> dict[str, Any]:
    """This boot's ``id`` (random(4)), None where there is none, and ``boottime_ns``.

    That is CLOCK_BOOTTIME: it counts suspended time, and no step of the clock moves it.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = None
    return {"id": boot_id, "boottime_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}


def _attribute(name: str) -> str | None:
    try:
        return (_CIFS / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
