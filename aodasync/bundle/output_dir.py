# SPDX-License-Identifier: MIT
"""The output directory: checked once, held open, and never looked up by name again."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aodasync import safe_files
from aodasync.bundle.salvage import salvage_leftovers
from aodasync.errors import OutputDirectoryError

__all__ = ["BATCHES", "OutputDirectory"]

_LOCK_SEC: Final = 1.0
_LOCK_RETRY_SEC: Final = 0.02

BATCHES: Final = "batches"
"""The directory that holds bundles, as AODv2 has it."""


class OutputDirectory:
    """An output directory that is safe to write to as the caller.

    ``batches_fd`` is the open ``batches/``, locked against a second writer; of
    interrupted collections found in it, ``salvaged`` were made bundles and ``removed`` not.
    """

    def __init__(self, path: Path, batches_fd: int, *, salvaged: int, removed: int) -> None:
        self.path = path
        self.batches = path / BATCHES
        self.batches_fd = batches_fd
        self.salvaged = salvaged
        self.removed = removed

    @classmethod
    def prepare(cls, path: Path) -> OutputDirectory:
        """Check the directory, create what is missing (mode 0700), salvage leftovers.

        It must belong to the caller, and nobody else may write it; ``batches/``
        is made 0700. No component of the path may be a symbolic link, and one
        that all may write must be sticky.

        Raises:
            OutputDirectoryError: it cannot be used safely, or is in use.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows symbolic links
        descriptor = _descend(path)
        try:
            _check_own(path, os.fstat(descriptor))
            batches_fd = _step(descriptor, BATCHES, path / BATCHES)
        finally:
            os.close(descriptor)
        try:
            _own_batches(path / BATCHES, batches_fd)
            salvaged, removed = salvage_leftovers(batches_fd)
        except BaseException:
            os.close(batches_fd)
            raise
        return cls(path, batches_fd, salvaged=salvaged, removed=removed)

    def close(self) -> None:
        """Let go of the directory."""
        if self.batches_fd >= 0:
            os.close(self.batches_fd)
            self.batches_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _descend(path: Path) -> int:
    """Open a directory one component at a time, so that none can be swapped on the way."""
    descriptor = safe_files.open_directory("/")
    at = Path("/")
    for name in path.parts[1:]:
        try:
            _check_ancestor(at, os.fstat(descriptor))
            below = _step(descriptor, name, at / name)
        finally:
            os.close(descriptor)
        descriptor, at = below, at / name
    return descriptor


def _step(parent_fd: int, name: str, path: Path) -> int:
    try:
        try:
            return safe_files.open_directory(name, dir_fd=parent_fd)
        except FileNotFoundError:
            return safe_files.make_directory(name, dir_fd=parent_fd)
    except OSError as error:
        if _is_link(name, parent_fd):
            what, hint = "is a symbolic link", "name the directory that it leads to"
        else:
            what, hint = str(error.strerror).lower(), "choose another with --output-dir"
        raise OutputDirectoryError(f"output directory: {path}: {what}", hint=hint) from error


def _is_link(name: str, parent_fd: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=parent_fd).st_mode)
    except OSError:
        return False


def _check_ancestor(path: Path, status: os.stat_result) -> None:
    # Group-writable is taken: /var/log is root:syslog 0775 on Ubuntu.
    if status.st_uid not in (0, os.geteuid()):
        raise OutputDirectoryError(
            f"output directory: {path} belongs to uid {status.st_uid}, who could replace it",
            hint="choose a directory below root's own with --output-dir",
        )
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise OutputDirectoryError(
            f"output directory: everybody can write {path}", hint=f"chmod o-w {path}"
        )


def _check_own(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise OutputDirectoryError(
            f"output directory: {path} belongs to uid {status.st_uid}, not to uid {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}, or choose another with --output-dir",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OutputDirectoryError(
            f"output directory: others can write {path}", hint=f"chmod go-w {path}"
        )


def _own_batches(path: Path, batches_fd: int) -> None:
    status = os.fstat(batches_fd)
    if status.st_uid != os.geteuid():
        raise OutputDirectoryError(
            f"output directory: {path} belongs to uid {status.st_uid}, not to uid {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}",
        )
    os.fchmod(batches_fd, safe_files.DIRECTORY_MODE)
    if not _locked(batches_fd):
        raise OutputDirectoryError(
            f"output directory: another aodasync writes to {path}",
            hint="choose another with --output-dir",
        )


def _locked(descriptor: int) -> bool:
    """Take the lock; False when another process holds it and keeps it.

    One that was killed may have left a child between fork and exec, which holds it for moments.
    """
    deadline_sec = time.monotonic() + _LOCK_SEC
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_sec:
                return False
            time.sleep(_LOCK_RETRY_SEC)
        else:
            return True
