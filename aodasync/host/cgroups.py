# SPDX-License-Identifier: MIT
"""The service or container that a process belongs to, by the name of its cgroup (cgroups(7))."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

__all__ = ["Units", "unit_name"]

# "docker-ID.scope", "kubepods-podUID.slice:cri-containerd:ID", or ID alone.
_CONTAINER: Final = re.compile(r"(?:([a-z][a-z-]*)[-:])?([0-9a-f]{12})[0-9a-f]{52}")
# Of a runtime with a virtual machine, the pod is all that has a name. systemd takes no "-" there.
_POD: Final = re.compile(r"(?:^|-)pod([0-9a-f]{8}[0-9a-f_-]{24,28})(?:$|\.)")
_SUFFIX: Final = re.compile(r"\.(?:scope|service|slice|mount|socket)$")
# The way up is there where the reader is in a container of its own (cgroup_namespaces(7)).
_HELPER_PARTS: Final = ("init.scope", "supervisor", "payload", "container", "..")
_REMOVED: Final = " (deleted)"
_MOST: Final = 4096
_FRESH_SEC: Final = 30.0


def unit_name(text: str) -> str:
    """The name in the text of /proc/PID/cgroup: ``docker 3f2a...``, ``pod 6b1e...``, ``cron``.

    Empty for what belongs to none, such as threads of the kernel. Pure.
    """
    lines = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    paths = [path for _, kind, path in lines if kind in ("", "name=systemd")]
    # Of a host with both versions, systemd's hierarchy is the one that names units.
    path = max(paths, key=len, default="").removesuffix(_REMOVED)
    parts = [part for part in path.split("/") if part and part not in _HELPER_PARTS]
    for part in reversed(parts):
        if found := _CONTAINER.search(part):
            return f"{found[1] or 'container'} {found[2]}".removeprefix("cri-")
    for part in reversed(parts):
        if pod := _POD.search(part):
            return f"pod {pod[1].replace('_', '-')}"
    return _SUFFIX.sub("", parts[-1]) if parts else ""


class Units:
    """Reads them, each once in half a minute; what cannot be read is empty."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[int, tuple[float, str]] = {}

    def __call__(self, pid: int) -> str:
        """The unit of a process."""
        now_sec = time.monotonic()
        known = self._known.get(pid)
        if known is not None and now_sec - known[0] < _FRESH_SEC:
            return known[1]
        try:
            text = (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        if len(self._known) >= _MOST:
            self._known.clear()
        # Of a process that has ended, what was known of it is still right.
        name = unit_name(text) if text or known is None else known[1]
        self._known[pid] = now_sec, name
        return name
