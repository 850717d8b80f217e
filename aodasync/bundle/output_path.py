# SPDX-License-Identifier: MIT
"""The way to an output directory: each step checked, made where it is missing, or only tried.

:func:`open_batches` makes directories, :func:`examine` leaves everything as it was; what
the one refuses, the other does, with the same error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from aodasync.errors import ExitCode, OutputDirectoryError
from aodasync.host import safe_files
from aodasync.host.file_lock import take
from aodasync.host.mountinfo import Mount, mount_of, read_mounts

__all__ = ["BATCHES", "examine", "network_of", "open_batches", "refuse_network"]

BATCHES: Final = "batches"
"""The directory that holds bundles, as AODv2 has it."""

_ANCESTOR_MODE: Final = 0o755
# Beside fuse.NAME and nfs*. An autofs mounts what nobody knows yet.
_NETWORK: Final = frozenset(
    {"cifs", "smb3", "smbfs", "9p", "ceph", "afs", "fuse", "lustre", "coda", "autofs", "orangefs"}
)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_Maker = Callable[[str, int, int], int]
"""Makes a directory of a name, in an open one, of a mode; returns its descriptor."""


class _NotMadeError(Exception):
    """A directory is missing that could be made."""


def open_batches(path: Path) -> int:
    """Make what is missing of an absolute path and of ``batches/`` in it; open that, and lock it.

    Raises:
        OutputDirectoryError: it cannot be used safely, or is in use.
    """
    batches = path / BATCHES
    batches_fd = _descend(path, _make)
    try:
        _check_batches(batches, batches_fd)
        try:
            os.fchmod(batches_fd, safe_files.DIRECTORY_MODE)
        except OSError as error:
            raise _refused(batches, error) from error
        _lock(batches, batches_fd)
    except BaseException:
        os.close(batches_fd)
        raise
    return batches_fd


def examine(path: Path) -> None:
    """Raise what ``OutputDirectory.prepare`` of a local directory would; leave nothing behind.

    Whether a directory can be made is tried, and it is removed again.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows symbolic links
    refuse_network(path, read_mounts())
    batches = path / BATCHES
    try:
        batches_fd = _descend(path, _try)
    except _NotMadeError:
        return
    try:
        _check_batches(batches, batches_fd)
        try:
            with contextlib.suppress(_NotMadeError):
                _try("", batches_fd, safe_files.DIRECTORY_MODE)
        except OSError as error:
            # What is there already is used for as long as a full disk is full.
            if error.errno not in _FULL:
                raise _refused(batches, error) from error
        _lock(batches, batches_fd)
    finally:
        os.close(batches_fd)


def refuse_network(path: Path, mounts: Iterable[Mount]) -> None:
    """Raise OutputDirectoryError if the path is on a network's file system, by its name alone."""
    mount = network_of(path, mounts)
    if mount is not None:
        raise OutputDirectoryError(
            f"output directory: {path} is on {mount.mount_point} ({mount.kind}),"
            " which hangs when its server does",
            hint="choose a local directory with aod_output_dir or --output-dir",
        )


def network_of(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The mount of a network's file system that holds the path, by its name alone."""
    mount = mount_of(str(path), mounts)
    is_remote = mount and (mount.kind in _NETWORK or mount.kind.startswith(("fuse.", "nfs")))
    return mount if is_remote else None


def _descend(path: Path, make: _Maker) -> int:
    """Open ``batches/``, one component at a time, so that none can be swapped on the way."""
    descriptor = safe_files.open_directory("/")
    at = Path("/")
    for name in (*path.parts[1:], BATCHES):
        try:
            check = _check_own if at == path else _check_ancestor
            check(at, os.fstat(descriptor))
            # Above it, others may go: a /var/log that only root may enter would shut them out.
            mode = _ANCESTOR_MODE if at / name in path.parents else safe_files.DIRECTORY_MODE
            below = _step(descriptor, at / name, make, mode)
        finally:
            os.close(descriptor)
        descriptor, at = below, at / name
    return descriptor


def _step(parent_fd: int, path: Path, make: _Maker, mode: int) -> int:
    try:
        try:
            return safe_files.open_directory(path.name, dir_fd=parent_fd)
        except FileNotFoundError:
            return make(path.name, parent_fd, mode)
    except OSError as error:
        if _is_link(path.name, parent_fd):
            raise OutputDirectoryError(
                f"output directory: {path}: is a symbolic link",
                hint="name the directory that it leads to",
            ) from error
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> OutputDirectoryError:
    refused = OutputDirectoryError(
        f"output directory: {path}: {str(error.strerror).lower()}",
        hint="choose another with --output-dir",
    )
    if isinstance(error, PermissionError):
        refused.exit_code = ExitCode.NOT_PERMITTED
    return refused


def _make(name: str, parent_fd: int, mode: int) -> int:
    descriptor = safe_files.make_directory(name, dir_fd=parent_fd)
    os.fchmod(descriptor, mode)
    return descriptor


def _try(_name: str, parent_fd: int, mode: int) -> int:
    """Make a directory of another name, and remove it."""
    name = f".aodasync-doctor-{os.getpid()}"
    os.mkdir(name, mode, dir_fd=parent_fd)
    os.rmdir(name, dir_fd=parent_fd)
    raise _NotMadeError


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


def _check_batches(path: Path, batches_fd: int) -> None:
    status = os.fstat(batches_fd)
    if status.st_uid != os.geteuid():
        raise OutputDirectoryError(
            f"output directory: {path} belongs to uid {status.st_uid}, not to uid {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}",
        )


def _lock(path: Path, batches_fd: int) -> None:
    if not take(batches_fd):
        raise OutputDirectoryError(
            f"output directory: another aodasync writes to {path}",
            hint="choose another with --output-dir",
        )
