# SPDX-License-Identifier: MIT
"""Byte code kept between starts.

What is in here is loaded into the kernel by root, so a directory or file that
anyone else could have written is not used. An entry that is not whole is as good
as none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Cache", "CacheUnusableError", "cache_key", "digest", "layout_key"]

_FORMAT = 1


class CacheUnusableError(Exception):
    """The cache directory cannot be used; everything works without it."""


def cache_key(text: Mapping[str, str], definitions: Mapping[str, int], compiler: str) -> str:
    """Hash of all that the byte code depends on: sources by name, numbers, compiler, kernel."""
    return _hash([layout_key(text, definitions), compiler, os.uname().release])


def layout_key(text: Mapping[str, str], definitions: Mapping[str, int]) -> str:
    """The same without compiler and kernel: byte code of this key serves every host that has it."""
    return _hash([_FORMAT, sorted(text.items()), sorted(definitions.items()), os.uname().machine])


class Cache:
    """A directory (0700) of entries (0600), one file a key."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = directory.lstat()
        except OSError as error:
            raise CacheUnusableError(f"{directory}: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode):
            raise CacheUnusableError(f"{directory} is not a directory")
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise CacheUnusableError(f"{directory}: others can write there")
        self._directory = directory

    def load(self, key: str) -> dict[str, bytes] | None:
        """Byte code by program name; None when there is none that is whole."""
        try:
            fd = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(fd)
                if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                    return None
                entry = json.load(file)
            programs = entry["programs"]
            if entry["digest"] != digest(key, programs):
                return None
            return {name: base64.b64decode(code) for name, code in programs.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def store(self, key: str, programs: Mapping[str, bytes]) -> None:
        """Keep an entry, atomically. Raises :class:`CacheUnusableError`."""
        encoded = {name: base64.b64encode(code).decode() for name, code in programs.items()}
        entry = {"digest": digest(key, encoded), "programs": encoded}
        partial = self._directory / f".{key}.{os.getpid()}"
        try:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(fd, "w") as file:
                    json.dump(entry, file)
                    file.flush()
                    os.fsync(fd)
                partial.rename(self._path(key))
            except BaseException:
                partial.unlink()
                raise
        except OSError as error:
            raise CacheUnusableError(f"{self._directory}: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.json"


def digest(key: str, programs: Mapping[str, Any]) -> str:
    """What tells whether an entry is whole; ``programs`` in base64."""
    return _hash([key, sorted(programs.items())])


def _hash(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
