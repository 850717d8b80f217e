# SPDX-License-Identifier: MIT
"""The files of a bundle in a stream: an archive (one zstd frame that holds a tar), or a directory.

A bundle is untrusted input. Nothing is extracted, what is held in memory at once is
bounded, and so are the number and the size of what an archive may grow to. The headers
are read here and not by a library: tar's extensions (PAX, GNU long names, sparse files)
have payloads of any size that are parsed before anybody could refuse them.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from aodasync.errors import BundleError, NotPermittedError
from aodasync.host import safe_files

__all__ = ["Member", "members", "readable"]

_MANIFEST: Final = "manifest.json"
_MAX_TOTAL_BYTES: Final = 1 << 30
_TOO_LARGE: Final = f"it holds more than {_MAX_TOTAL_BYTES >> 20} MiB"
_MAX_FILES: Final = 1000  # a bundle has some twenty
_MAX_WINDOW_BYTES: Final = 128 << 20
_CHUNK_BYTES: Final = 256 * 1024
_INPUT_BYTES: Final = 1024  # a zstd block may grow 32768-fold: 32 MiB at once, no more
_BLOCK_BYTES: Final = 512
_REPACKED: Final = {
    b"\x1f\x8b": ("compressed with gzip, not with zstd", "gunzip it first"),
    b"PK\x03\x04": ("a zip archive", "unzip it first"),
}
_FILE_TYPES: Final = (b"0", b"\0")
_DIRECTORY_TYPE: Final = b"5"
_EXTENSIONS: Final = {
    b"x": "a PAX header",
    b"g": "a global PAX header",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of a bundle: its directory, name and size; read before the next one."""

    directory: str
    name: str
    size_bytes: int
    content: IO[bytes]

    def read(self, limit: int) -> bytes:
        """All of it.

        Raises:
            BundleError: it is larger than ``limit``.
        """
        if self.size_bytes > limit:
            raise BundleError(f"{self.name} is larger than {limit >> 20} MiB")
        return self.content.read(self.size_bytes)


@contextmanager
def members(path: Path) -> Iterator[Iterator[Member]]:
    """The regular files of an archive, or of a directory that holds a bundle's files.

    The archive may have been decompressed.

    Raises:
        NotPermittedError: it may not be read.
        BundleError: whatever is wrong with it.
    """
    with readable(path):
        try:
            descriptor = safe_files.open_regular(str(path), follow=True)
        except safe_files.NotRegularError:
            if not path.is_dir():
                raise
            yield _listed(_unpacked(path))
            return
        with os.fdopen(descriptor, "rb", _CHUNK_BYTES) as file:
            begin = file.read(_BLOCK_BYTES)
            file.seek(0)
            for magic, (kind, hint) in _REPACKED.items():
                if begin.startswith(magic):
                    raise BundleError(f"{path}: {kind}", hint=hint)
            if begin[257:262] != b"ustar":
                yield _walk(io.BufferedReader(_Decompressed(file), _CHUNK_BYTES))
                return
            if os.fstat(descriptor).st_size > _MAX_TOTAL_BYTES:
                raise EOFError(_TOO_LARGE)
            yield _walk(file)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make what reading ``path`` raises an error of ours, which names it.

    Raises:
        NotPermittedError: it may not be read.
        BundleError: whatever else is wrong with it.
    """
    try:
        yield
    except PermissionError as error:
        raise NotPermittedError(f"{path}: permission denied", hint="sudo") from error
    except OSError as error:
        raise BundleError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except safe_files.NotRegularError:
        raise BundleError(f"{path}: not a regular file", hint="is it a bundle?") from None
    except (zstandard.ZstdError, EOFError, ValueError) as error:
        raise BundleError(
            f"{path}: not a whole bundle ({error})", hint="it was cut off, or is something else"
        ) from None


def _unpacked(path: Path) -> Path:
    """The directory itself, or the only thing in it: the directory that tar made in it."""
    with os.scandir(path) as entries:
        first, second = next(entries, None), next(entries, None)
    only = first is not None and second is None and first.is_dir(follow_symlinks=False)
    return path / first.name if first is not None and only else path


def _listed(path: Path) -> Iterator[Member]:
    """The regular files of a directory, by name; links in it are not followed."""
    directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(directory_fd) as entries:
            names = sorted(e.name for e in entries if not e.is_dir(follow_symlinks=False))
        if len(names) > _MAX_FILES:
            raise BundleError(f"{path}: more than {_MAX_FILES} files", hint="is it a bundle?")
        for name in names:
            with readable(path / name):
                try:
                    descriptor = safe_files.open_regular(name, dir_fd=directory_fd)
                except (OSError, safe_files.NotRegularError) as error:
                    _explain(path, name, error, is_bundle=_MANIFEST in names)
                    raise
                with os.fdopen(descriptor, "rb") as file:
                    yield Member(path.name, name, os.fstat(descriptor).st_size, file)
    finally:
        os.close(directory_fd)


def _explain(path: Path, name: str, error: Exception, *, is_bundle: bool) -> None:
    """Say what a user can fix, where the kernel's words would mislead.

    Raises:
        BundleError: the directory is any other one, or the file in it is a link.
    """
    if not is_bundle:
        raise BundleError(f"{path}: no {_MANIFEST} in it", hint="is it a bundle?") from error
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        raise BundleError(
            f"{path / name}: a symbolic link, which is not followed",
            hint="put the file itself there",
        ) from error


def _walk(stream: IO[bytes]) -> Iterator[Member]:
    names: set[str] = set()
    for count in range(_MAX_FILES + 1):
        block = stream.read(_BLOCK_BYTES)
        if len(block) < _BLOCK_BYTES:
            raise EOFError("it ends too early")
        if not any(block):
            break
        if count == _MAX_FILES:
            raise ValueError(f"it holds more than {_MAX_FILES} files")
        directory, name, size_bytes, is_file = _header(block)
        content = _Content(stream, size_bytes)
        if is_file:
            if name in names:  # of two, readers would differ in which one they take
                raise ValueError(f"{name} is there twice")
            names.add(name)
            yield Member(directory, name, size_bytes, io.BufferedReader(content, _CHUNK_BYTES))
        content.skip()
    # On to the end of the frame: its checksum is there.
    while rest := stream.read(_CHUNK_BYTES):
        if rest.count(0) != len(rest):
            raise ValueError("something follows the end of its files")


def _header(block: bytes) -> tuple[str, str, int, bool]:
    """Directory, name, size in bytes and whether it is a file: of a ustar header (pax(1))."""
    if block[257:262] != b"ustar" or _octal(block[148:156]) != _checksum(block):
        raise ValueError("a tar header is damaged")
    prefix = b"" if block[257:265] == b"ustar  \0" else block[345:500]  # GNU tar has other fields
    whole = b"/".join(part for part in (_text(prefix), _text(block[:100])) if part)
    path = whole.decode("utf-8", "replace").removeprefix("./")
    kind = block[156:157]
    if kind not in (*_FILE_TYPES, _DIRECTORY_TYPE):
        what = _EXTENSIONS.get(kind, "neither a file nor a directory")
        raise BundleError(f"{path} is {what}", hint="aodasync writes no such archive")
    size_bytes = _octal(block[124:136])
    if size_bytes > _MAX_TOTAL_BYTES:
        raise BundleError(f"{path} claims to be larger than {_MAX_TOTAL_BYTES >> 20} MiB")
    directory, _, name = path.rpartition("/")
    if kind != _DIRECTORY_TYPE and name in ("", ".", ".."):
        raise ValueError("a file in it has no name")
    return directory, name, size_bytes, kind != _DIRECTORY_TYPE


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _octal(field: bytes) -> int:
    digits = _text(field).strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError("a tar header has a number that is not octal")
    return int(digits or b"0", 8)


def _checksum(block: bytes) -> int:
    """The sum of a header's bytes, those of the checksum taken as blanks."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")


class _Content(io.RawIOBase):
    """A file within the tar: so many bytes, then padding to a whole block."""

    def __init__(self, stream: IO[bytes], size_bytes: int) -> None:
        self._stream = stream
        self._left = size_bytes
        self._padding = -size_bytes % _BLOCK_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        if not data and self._left:
            raise EOFError("it ends too early")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def skip(self) -> None:
        """Step over what was not read, and the padding."""
        left = self._left + self._padding
        while left:
            skipped = len(self._stream.read(min(left, _CHUNK_BYTES)))
            if not skipped:
                raise EOFError("it ends too early")
            left -= skipped
        self._left = self._padding = 0


class _Decompressed(io.RawIOBase):
    """One zstd frame as a stream. Unlike zstandard's own reader it minds a missing end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        self._frame = decompressor.decompressobj()
        self._data = memoryview(b"")
        self._total_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._data and not self._frame.eof:
            chunk = self._file.read(_INPUT_BYTES)
            if not chunk:
                raise EOFError("it ends too early")
            self._data = memoryview(self._frame.decompress(chunk))
            self._total_bytes += len(self._data)
            if self._total_bytes > _MAX_TOTAL_BYTES:
                raise EOFError(_TOO_LARGE)
        if not self._data and (self._frame.unused_data or self._file.read(1)):
            raise EOFError("something follows its end")
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count
