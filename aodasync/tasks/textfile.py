# SPDX-License-Identifier: MIT
"""Writes metrics for node_exporter's textfile collector: whole, renamed into place, 0644.

The collector reads what ends in ``.prom`` and exports the file's modification time, so an agent
that has stopped is seen by it. The file is readable by all by design: it holds names of
servers and mount points, and no process, path or user.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from aodasync.host import safe_files
from aodasync.host.threads import in_thread
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Textfile"]

_EVERY_SEC: Final = 15.0
_MODE: Final = 0o644


class Textfile:
    """Writes ``facts()`` to ``path`` until cancelled; nothing if ``path`` is empty."""

    def __init__(
        self,
        path: str,
        facts: Callable[[], Mapping[str, Any]],
        log: FilteringBoundLogger,
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self.reconfigure(path)
        self._facts = facts
        self._log = log.bind(component="metrics")
        self.written = 0
        self.failed = 0

    def reconfigure(self, path: str) -> None:
        """Write there from now on."""
        self._path = Path(path) if path else None

    async def run(self) -> None:
        """Write every 15 s."""
        while True:
            if self._path is not None:
                await self.write()
            await self._beat(_EVERY_SEC, _EVERY_SEC)

    async def write(self) -> None:
        """Write once; a failure is logged when it begins, and counted."""
        assert self._path is not None  # noqa: S101  # run() sees to it
        try:
            await in_thread(partial(_write, self._path, self._facts()))
        except (OSError, ValueError) as error:
            if self.failed == 0:
                self._log.warning("metrics_not_written", path=str(self._path), error=str(error))
            self.failed += 1
        else:
            self.written += 1
            self.failed = 0


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    """Blocks.

    Raises:
        OSError: it could not be written; an earlier file is as it was.
        ValueError: others may write the directory, and could swap the file.
    """
    # Imported by agents that are asked for metrics alone: 2 MB.
    from aodasync.live.prometheus import exposition  # noqa: PLC0415

    directory_fd = safe_files.open_directory(str(path.parent))
    try:
        status = os.fstat(directory_fd)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            raise ValueError(f"others can write {path.parent}: chmod go-w {path.parent}")
        temporary = f".{path.name}.new"
        safe_files.remove(temporary, dir_fd=directory_fd)
        with os.fdopen(safe_files.create(temporary, dir_fd=directory_fd), "wb") as file:
            file.write(exposition(facts))
            os.fchmod(file.fileno(), _MODE)
        os.replace(temporary, path.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
