# SPDX-License-Identifier: MIT
"""The files of an archive in a stream: one zstd frame that holds a tar.

An archive is untrusted input. Nothing is extracted, what is held in memory at
once is bounded, and so is what an archive may grow to.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from aodasync.errors import BundleError

__all__ = ["Member", "members"]

_MAX_TOTAL_BYTES: Final = 1 << 30
_MAX_WINDOW_BYTES: Final = 128 << 20
_CHUNK_BYTES: Final = 256 * 1024
_INPUT_BYTES: Final = 1024  # a zstd block may grow 32768-fold: 32 MiB at once, no more

# What tarfile and zstandard raise for bytes that are not what they should be.
_DAMAGE: Final = (
    tarfile.TarError,
    zstandard.ZstdError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive: its directory, name and size; read before the next one."""

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
        return self.content.read()


@contextmanager
def members(path: Path) -> Iterator[Iterator[Member]]:
    """The regular files of an archive, in a stream.

    Raises:
        BundleError: whatever is wrong with the archive.
    """
    try:
        with path.open("rb") as file:
            stream = io.BufferedReader(_Decompressed(file), _CHUNK_BYTES)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield _walk(tar, stream)
    except OSError as error:
        raise BundleError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except _DAMAGE as error:
        raise BundleError(
            f"{path}: not a whole bundle ({error})", hint="it was cut off, or is something else"
        ) from None


def _walk(tar: tarfile.TarFile, stream: IO[bytes]) -> Iterator[Member]:
    for entry in tar:
        directory, _, name = entry.name.removeprefix("./").rpartition("/")
        if entry.isdir():
            continue
        content = tar.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise BundleError(f"{entry.name} is neither a file nor a directory")
        if entry.size > _MAX_TOTAL_BYTES:
            # tarfile would step over it block by block, to the end and a terabyte beyond.
            raise BundleError(f"{entry.name} claims to be larger than {_MAX_TOTAL_BYTES >> 20} MiB")
        yield Member(directory, name, entry.size, content)
    while stream.read(_CHUNK_BYTES):
        pass  # on to the end of the frame: its checksum is there


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
                raise EOFError(f"it holds more than {_MAX_TOTAL_BYTES >> 20} MiB")
        if not self._data and (self._frame.unused_data or self._file.read(1)):
            raise EOFError("something follows its end")
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count
