# SPDX-License-Identifier: MIT
"""Where the configuration is, and its text."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from aodasync.config.compose import refuse
from aodasync.config.document import WHOLE_FILE, Broken
from aodasync.config.problems import Problems
from aodasync.errors import NotPermittedError

__all__ = [
    "DROP_INS",
    "SYSTEM_PATH",
    "default_path",
    "drop_ins",
    "find",
    "read",
    "warn_of_misnamed",
]

SYSTEM_PATH: Final = Path("/etc/aodasync/config.yaml")
"""The administrator's file."""

DROP_INS: Final = Path("/etc/aodasync/conf.d")
"""Files of the administrator or of packages, whose settings are laid over that file's."""

_PACKAGE: Final = Path(__file__).parents[1]

_SUFFIX: Final = ".yaml"
_ALMOST: Final = frozenset({_SUFFIX, ".yml", ".conf", ".json"})
"""What a file that is meant to be read may end in, in any capitalisation; editors' and
packagers' files end otherwise."""

_MAX_BYTES: Final = 1 << 20


def default_path() -> Path:
    """The file that comes with the program: in the package, or beside it in a checkout."""
    packaged = _PACKAGE / "_config" / "config.yaml"
    return packaged if packaged.is_file() else _PACKAGE.parent / "config" / "config.yaml"


def find(explicit: Path | None) -> Path:
    """The file to use: ``explicit``, else the administrator's, else the packaged one.

    A file in /etc that may not be read is the one to use all the same; reading it
    then says why it cannot be.
    """
    if explicit is not None:
        return explicit
    try:
        SYSTEM_PATH.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return default_path()
    except OSError:
        pass
    return SYSTEM_PATH


def drop_ins(problems: Problems) -> tuple[Path, ...]:
    """The ``*.yaml`` files in :data:`DROP_INS`, in the order in which they apply.

    Raises:
        NotPermittedError: the caller may not list the directory.
        ConfigError: it cannot be listed.
    """
    try:
        found = sorted(DROP_INS.iterdir())
        _warn_if_writable(DROP_INS, DROP_INS.stat().st_mode, problems)
    except FileNotFoundError as error:
        if DROP_INS.is_symlink():
            refuse(str(DROP_INS), 1, 1, f"cannot be read: {error.strerror}")
        return ()
    except NotADirectoryError:
        if DROP_INS.is_file():  # copied there before there was the directory
            message = f"not read: expected a directory of files that end in {_SUFFIX}"
            problems.warn(Broken(str(DROP_INS), 1, 1), WHOLE_FILE, message)
        return ()
    except PermissionError as error:
        raise _not_permitted(DROP_INS) from error
    except OSError as error:
        refuse(str(DROP_INS), 1, 1, f"cannot be read: {error.strerror}")
    visible = [path for path in found if not path.name.startswith(".")]
    for path in visible:
        if _is_almost_right(path):
            message = f"not read: the name of a file here ends in {_SUFFIX}"
            problems.warn(Broken(str(path), 1, 1), WHOLE_FILE, message)
    return tuple(path for path in visible if path.suffix == _SUFFIX)


def warn_of_misnamed(problems: Problems) -> None:
    """Warn of files that the administrator may take for :data:`SYSTEM_PATH`, which is not there."""
    with contextlib.suppress(OSError):
        for path in sorted(SYSTEM_PATH.parent.iterdir()):
            if path.stem == SYSTEM_PATH.stem and _is_almost_right(path):
                message = f"not read: the name of this file must be {SYSTEM_PATH.name}"
                problems.warn(Broken(str(path), 1, 1), WHOLE_FILE, message)


def _is_almost_right(path: Path) -> bool:
    return path.suffix != _SUFFIX and path.suffix.lower() in _ALMOST


def read(path: Path, problems: Problems) -> str:
    """The text of the file ``path``.

    Raises:
        NotPermittedError: the caller may not read it.
        ConfigError: it cannot be read, is none of ours by its size, or is not UTF-8.
    """
    return _decode(_content(path, problems), str(path))


def _content(path: Path, problems: Problems) -> bytes:
    file = str(path)
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(_MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
            if content is None:  # "regular" files of the kernel that have no data yet
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    except PermissionError as error:
        raise _not_permitted(path) from error
    except OSError as error:
        hint = "give the path of a file that you may read, or none for the default"
        refuse(file, 1, 1, f"cannot be read: {error.strerror}", hint=hint)
    if not stat.S_ISREG(mode):
        refuse(file, 1, 1, "cannot be read: not a regular file", hint="give the path of a file")
    if len(content) > _MAX_BYTES:
        refuse(file, 1, 1, "expected a few kilobytes, found more than 1 MiB")
    _warn_if_writable(path, mode, problems)
    return content


def _not_permitted(path: Path) -> NotPermittedError:
    hint = "sudo, or the path of a file that you may read"
    return NotPermittedError(f"{path}: permission denied", hint=hint, file=str(path))


def _warn_if_writable(path: Path, mode: int, problems: Problems) -> None:
    if mode & stat.S_IWOTH:
        what = "directory" if stat.S_ISDIR(mode) else "file"
        message = f"anybody can write this {what}, and so name commands to be run; chmod o-w"
        problems.warn(Broken(str(path), 1, 1), WHOLE_FILE, message)


def _open_without_waiting(path: str, flags: int) -> int:
    """A FIFO must not hold up the start."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decode(content: bytes, file: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        remedy = "iconv -f UTF-16 -t UTF-8 converts it"
        refuse(file, 1, 1, f"expected UTF-8, found UTF-16, as Windows writes it; {remedy}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        refuse(file, line, column, f"expected UTF-8, found the byte 0x{content[error.start]:02x}")
