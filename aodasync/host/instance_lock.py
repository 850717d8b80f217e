# SPDX-License-Identifier: MIT
"""One agent a host: a lock in /run/aodasync, held as long as the process lives."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from aodasync.errors import AlreadyRunningError, OutputDirectoryError
from aodasync.host.file_lock import take

__all__ = ["RUN_DIR", "SOCKET_NAME", "single_instance"]

RUN_DIR = Path("/run/aodasync")

SOCKET_NAME = "control.sock"
"""Where the agent that holds the lock is asked, in the same directory."""


@contextlib.contextmanager
def single_instance(run_dir: Path = RUN_DIR) -> Iterator[None]:
    """Hold the lock.

    Raises:
        AlreadyRunningError: another agent holds it; names its process id.
        OutputDirectoryError: the directory or the file cannot be made.
    """
    try:
        run_dir.mkdir(mode=0o700, exist_ok=True)
        _check(run_dir)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(run_dir / "lock", flags, 0o600)
    except OSError as error:
        raise OutputDirectoryError(
            f"cannot lock {run_dir}/lock: {error.strerror}", hint="it must be a directory of root's"
        ) from error
    try:
        if not take(lock):
            pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise AlreadyRunningError(
                f"another agent is running (pid {pid})",
                hint="look at it: aodasync top, aodasync why; or end it: systemctl stop aodasync",
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _check(run_dir: Path) -> None:
    """Whoever else can write the directory could replace the lock and the socket in it."""
    status = run_dir.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise OutputDirectoryError(f"{run_dir} is not a directory", hint=f"remove {run_dir}")
    if status.st_uid != os.geteuid():
        raise OutputDirectoryError(
            f"{run_dir} belongs to uid {status.st_uid}", hint=f"chown {os.geteuid()} {run_dir}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OutputDirectoryError(
            f"others can write {run_dir}", hint=f"chmod go-w {run_dir}, and look what is in it"
        )
