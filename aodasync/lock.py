# SPDX-License-Identifier: MIT
"""One agent a host: a lock in /run/aodasync, held as long as the process lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from aodasync.errors import AlreadyRunningError, OutputDirectoryError

__all__ = ["RUN_DIR", "single_instance"]

RUN_DIR = Path("/run/aodasync")


@contextlib.contextmanager
def single_instance(run_dir: Path = RUN_DIR) -> Iterator[None]:
    """Hold the lock.

    Raises:
        AlreadyRunningError: another agent holds it; names its process id.
        OutputDirectoryError: the directory or the file cannot be made.
    """
    try:
        run_dir.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(run_dir / "lock", flags, 0o600)
    except OSError as error:
        raise OutputDirectoryError(
            f"cannot lock {run_dir}/lock: {error.strerror}", hint="it must be a directory of root's"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise AlreadyRunningError(
                f"another agent is running (pid {pid})",
                hint="stop it first: systemctl stop aodasync",
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
