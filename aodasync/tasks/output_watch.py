# SPDX-License-Identifier: MIT
"""Logs a mount that comes over the output directory while the agent runs, and its end.

Known from the list of mounts alone. Of a network's file system nothing is touched: bundles go
on into the directory beneath it, which nobody sees until it is unmounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from aodasync.bundle.output_path import network_of
from aodasync.host.mountinfo import Mount, mount_of

__all__ = ["OutputWatch"]


class OutputWatch:
    """Compares the mount that holds ``path`` with the one that did when it was first asked."""

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        self._path = path
        self._log = log.bind(component="mounts")
        self._first: Mount | None = None
        self._now: Mount | None = None

    def look(self, mounts: Sequence[Mount]) -> None:
        """Take the mounts of now."""
        before, self._now = self._now, mount_of(str(self._path), mounts)
        if self._first is None:
            self._first = self._now
        elif self._now is not None and self._now != before:
            if self._now == self._first:
                self._log.info("output_directory_uncovered", path=str(self._path))
                return
            self._log.warning(
                "output_directory_covered",
                path=str(self._path),
                mount_point=self._now.mount_point,
                kind=self._now.kind,
                bundles="beneath" if network_of(self._path, mounts) else "on it",
            )
