# SPDX-License-Identifier: MIT
"""Files written by root in a directory that is open already.

Everything here is relative to a directory descriptor, never follows a symbolic
link at the name it is given, and never takes over what exists. A directory that
is swapped after it was opened therefore changes nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "DIRECTORY_MODE",
    "FILE_MODE",
    "NotRegularError",
    "append",
    "create",
    "exists",
    "make_directory",
    "open_directory",
    "open_regular",
    "open_to_append",
    "remove",
    "write",
    "write_new",
]

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that somebody put there must not wait for its writer.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotRegularError(ValueError):
    """A device, a FIFO, a directory or a socket, where a file was expected."""


def create(name: str, *, dir_fd: int) -> int:
    """Create a file of mode 0600 and return its descriptor.

    Raises:
        FileExistsError: there is something of that name, be it a dangling link.
    """
    return os.open(name, _CREATE, FILE_MODE, dir_fd=dir_fd)


def write(name: str, data: bytes, *, dir_fd: int) -> None:
    """Create a file and fill it. Not synced: the archive made of it is."""
    with open(create(name, dir_fd=dir_fd), "wb") as file:
        file.write(data)


def write_new(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600 for a user who named it: whole, or not at all.

    ``replace`` a regular file or a symbolic link (itself, not its target) of that name.

    Raises:
        FileExistsError: there is something of that name.
        NotRegularError: it is to be replaced, and is a device, a FIFO, a directory or a socket.
        OSError: it cannot be written.
    """
    directory_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".{path.name[:200]}.{os.getpid()}.new" if replace else path.name
    try:
        if replace and not _is_replaceable(path.name, directory_fd):
            raise NotRegularError(f"{path} is not a regular file")
        descriptor = create(temporary, dir_fd=directory_fd)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            if replace:
                os.rename(temporary, path.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except BaseException:
            remove(temporary, dir_fd=directory_fd)
            raise
    finally:
        os.close(directory_fd)


def _is_replaceable(name: str, directory_fd: int) -> bool:
    try:
        mode = os.lstat(name, dir_fd=directory_fd).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def append(name: str, data: bytes, *, dir_fd: int) -> None:
    """Add to a regular file that is there."""
    with open_to_append(name, dir_fd=dir_fd) as file:
        file.write(data)


def open_to_append(name: str, *, dir_fd: int) -> BinaryIO:
    """Open a regular file that is there, to add to it."""
    return os.fdopen(os.open(name, _APPEND, dir_fd=dir_fd), "ab")


def open_regular(path: str, *, dir_fd: int | None = None, follow: bool = False) -> int:
    """Open a regular file for reading; never waits.

    ``follow`` a symbolic link, which is for paths that a user named.

    Raises:
        OSError: it is a symbolic link (ELOOP) or cannot be opened.
        NotRegularError: it is a device, a FIFO, a directory or a socket.
    """
    descriptor = os.open(path, _READ & ~os.O_NOFOLLOW if follow else _READ, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(f"{path} is not a regular file")
    return descriptor


def exists(name: str, *, dir_fd: int) -> bool:
    """Whether there is something of that name, be it a dangling link."""
    try:
        os.lstat(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    return True


def make_directory(name: str, *, dir_fd: int) -> int:
    """Create a directory of mode 0700 and return its descriptor."""
    os.mkdir(name, DIRECTORY_MODE, dir_fd=dir_fd)
    return open_directory(name, dir_fd=dir_fd)


def open_directory(name: str, *, dir_fd: int | None = None) -> int:
    """Open a directory that is not a symbolic link."""
    return os.open(name, _DIRECTORY, dir_fd=dir_fd)


def remove(name: str, *, dir_fd: int) -> None:
    """Remove a file or a directory with all in it; a symbolic link itself, never its target.

    ``shutil.rmtree`` is given a descriptor, so it descends by descriptors as well.
    Nothing happens when there is nothing of that name.
    """
    try:
        mode = os.lstat(name, dir_fd=dir_fd).st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(name, dir_fd=dir_fd)
        else:
            os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass
