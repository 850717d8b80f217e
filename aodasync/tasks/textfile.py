# SPDX-License-Identifier: MIT
"""Writes metrics for node_exporter's textfile collector: whole, renamed into place, 0644.

The collector reads what ends in ``.prom`` and exports the file's modification time, so an agent
that has stopped is seen by it. The file is readable by all by design: it holds names of
servers and mount points, and no process, path or user.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from aodasync.errors import RequirementError
from aodasync.host import safe_files
from aodasync.host.threads import in_thread
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Textfile", "problem_of"]

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
        self._facts = facts
        self._log = log.bind(component="metrics")
        self.written = 0
        self.reconfigure(path)

    def reconfigure(self, path: str) -> None:
        """Write there from now on; that it cannot be written is news again."""
        self._path = Path(path) if path else None
        self.failed = 0

    async def run(self) -> None:
        """Write every 15 s."""
        while True:
            if self._path is not None:
                await self.write()
            await self._beat(_EVERY_SEC, _EVERY_SEC)

    async def write(self) -> None:
        """Write once; a failure is logged when it begins, and counted.

        A directory that hangs, as one on a network's file system may, costs metrics alone.
        """
        assert self._path is not None  # noqa: S101  # run() sees to it
        path = self._path
        try:
            await in_thread(partial(_write, path, self._facts()), abandon=True)
        except (OSError, ValueError, RequirementError) as error:
            if self.failed == 0:
                self._log.warning("metrics_not_written", path=str(path), error=_said(error))
            self.failed += 1
        else:
            self.written += 1
            self.failed = 0


def problem_of(path: Path) -> str:
    """Why the directory of a textfile cannot be used, "" if it can. Blocks."""
    try:
        os.close(_open(path.parent))
    except (OSError, ValueError) as error:
        said = _said(error)
        return said if str(path.parent) in said else f"{path.parent}: {said}"
    return ""


def _said(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason.lower() if reason else str(error)


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    """Blocks.

    Raises:
        OSError: it could not be written; an earlier file is as it was.
        ValueError: the directory is a link, another user's, or others may write it.
    """
    # Imported by agents that are asked for metrics alone: 2 MB.
    from aodasync.live.prometheus import exposition  # noqa: PLC0415

    directory_fd = _open(path.parent)
    try:
        temporary = f".{path.name[:200]}.new"
        safe_files.remove(temporary, dir_fd=directory_fd)
        try:
            with os.fdopen(safe_files.create(temporary, dir_fd=directory_fd), "wb") as file:
                file.write(exposition(facts))
                os.fchmod(file.fileno(), _MODE)
            os.replace(temporary, path.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except BaseException:
            # A disk that is full is not to hold what nobody reads.
            with contextlib.suppress(OSError):
                safe_files.remove(temporary, dir_fd=directory_fd)
            raise
    finally:
        os.close(directory_fd)


def _open(directory: Path) -> int:
    """A directory that others cannot write, or where they can remove their own files alone."""
    try:
        directory_fd = safe_files.open_directory(str(directory))
    except NotADirectoryError:
        if directory.is_symlink():
            raise ValueError(f"{directory} is a symbolic link: name its target") from None
        raise
    status = os.fstat(directory_fd)
    problem = ""
    if status.st_uid != os.geteuid():  # the agent may not write there, for all that it is root
        problem = f"{directory} is another user's: chown root {directory}"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        problem = f"others can write {directory}: chmod go-w {directory}"
    if problem:
        os.close(directory_fd)
        raise ValueError(problem)
    return directory_fd
