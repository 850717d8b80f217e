# SPDX-License-Identifier: MIT
"""From the directory a bundle was collected in to the archive that is visible.

The archive is written under another name, synced, and renamed: it is there
whole or not at all. So is the manifest beside it, for those who index bundles without
unpacking them. Everything blocks and belongs in a worker thread.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from typing import BinaryIO, Final

import zstandard

from aodasync.bundle.bundle_name import MANIFEST_SUFFIX, PARTIAL_SUFFIX, BundleName
from aodasync.errors import BundleError
from aodasync.host import safe_files

__all__ = ["orphans", "pack", "publish", "remove_with_manifest"]

_MANIFEST: Final = "manifest.json"
# Read from the front of the archive, so that a listing needs its first block only.
_FIRST: Final = (_MANIFEST, "inflight.json")
_LEVEL: Final = 3
_CHUNK_BYTES: Final = 64 * 1024
_LATEST_SEC: Final = 8**11 - 1  # in the year 2242, the last that a ustar header can tell


def publish(
    name: BundleName, *, batches_fd: int, mtime_sec: int, cancelled: threading.Event
) -> int:
    """:func:`pack`, and before it ``NAME.json``: whoever sees the archive has its manifest.

    Raises:
        BundleError: cancelled.
        OSError: one of them could not be written; neither is there.
    """
    _copy_manifest(name, batches_fd)
    try:
        return pack(name, batches_fd=batches_fd, mtime_sec=mtime_sec, cancelled=cancelled)
    except BaseException:
        safe_files.remove(name.manifest, dir_fd=batches_fd)
        raise


def remove_with_manifest(file: str, *, batches_fd: int) -> None:
    """Remove a file, if it is there; with an archive its manifest.

    Raises:
        OSError: one of them stays.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file, dir_fd=batches_fd)
    if name := BundleName.parse(file):
        safe_files.remove(name.manifest, dir_fd=batches_fd)


def orphans(batches_fd: int) -> list[str]:
    """File names of the manifests whose archives were not finished, or were deleted since."""
    with os.scandir(batches_fd) as entries:
        files = [entry.name for entry in entries if entry.name.endswith(MANIFEST_SUFFIX)]
    names = {file: BundleName.parse(file.removesuffix(MANIFEST_SUFFIX)) for file in files}
    return [
        file
        for file, name in names.items()
        if name and file == name.manifest and _is_orphan(name, batches_fd)
    ]


def _is_orphan(name: BundleName, batches_fd: int) -> bool:
    # In this order: the directory goes when the archive is there.
    return not (
        safe_files.exists(name.directory, dir_fd=batches_fd)
        or safe_files.exists(name.archive, dir_fd=batches_fd)
    )


def _copy_manifest(name: BundleName, batches_fd: int) -> None:
    temporary = name.manifest + PARTIAL_SUFFIX
    source_fd = safe_files.open_directory(name.directory, dir_fd=batches_fd)
    try:
        with os.fdopen(safe_files.open_regular(_MANIFEST, dir_fd=source_fd), "rb") as source:
            manifest = source.read()
    finally:
        os.close(source_fd)
    safe_files.remove(temporary, dir_fd=batches_fd)
    try:
        with os.fdopen(safe_files.create(temporary, dir_fd=batches_fd), "wb") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name.manifest, src_dir_fd=batches_fd, dst_dir_fd=batches_fd)
    except BaseException:
        safe_files.remove(temporary, dir_fd=batches_fd)
        raise


def pack(name: BundleName, *, batches_fd: int, mtime_sec: int, cancelled: threading.Event) -> int:
    """Make ``NAME.tar.zst`` of the files in ``NAME.partial``; returns its size in bytes.

    Modes are 0700 and 0600 and the owner is root, whatever they were on disk. The
    directory stays. ``cancelled`` is looked at often; what was begun is removed.

    Raises:
        BundleError: cancelled.
        OSError: it could not be written.
    """
    temporary = name.archive + PARTIAL_SUFFIX
    with os.fdopen(safe_files.create(temporary, dir_fd=batches_fd), "wb") as file:
        try:
            _write(file, name, batches_fd, mtime_sec, cancelled)
            file.flush()
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
            os.rename(temporary, name.archive, src_dir_fd=batches_fd, dst_dir_fd=batches_fd)
        except BaseException:
            safe_files.remove(temporary, dir_fd=batches_fd)
            raise
    os.fsync(batches_fd)
    return size_bytes


def _write(
    file: BinaryIO, name: BundleName, batches_fd: int, mtime_sec: int, cancelled: threading.Event
) -> None:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    source_fd = safe_files.open_directory(name.directory, dir_fd=batches_fd)
    try:
        with os.scandir(source_fd) as entries:
            files = sorted((entry.name for entry in entries), key=_order)
        with (
            compressor.stream_writer(file, closefd=False) as stream,
            # Not "w|", which cuts all into blocks of 10 KB in Python.
            tarfile.TarFile(
                fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT, copybufsize=_CHUNK_BYTES
            ) as tar,
        ):
            tar.addfile(_entry(str(name), tarfile.DIRTYPE, mtime_sec))
            for each in files:
                with os.fdopen(safe_files.open_regular(each, dir_fd=source_fd), "rb") as content:
                    entry = _entry(f"{name}/{each}", tarfile.REGTYPE, mtime_sec)
                    entry.size = os.fstat(content.fileno()).st_size
                    tar.addfile(entry, _Cancellable(content, cancelled))
    finally:
        os.close(source_fd)


def _order(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _entry(name: str, kind: bytes, mtime_sec: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    directory = kind == tarfile.DIRTYPE
    entry.mode = safe_files.DIRECTORY_MODE if directory else safe_files.FILE_MODE
    entry.uname = entry.gname = "root"
    entry.mtime = min(mtime_sec, _LATEST_SEC)
    return entry


class _Cancellable(io.RawIOBase):
    """A file that stops being readable when its reader is to stop."""

    def __init__(self, file: BinaryIO, cancelled: threading.Event) -> None:
        self._file = file
        self._cancelled = cancelled

    def read(self, size: int = -1, /) -> bytes:
        if self._cancelled.is_set():
            raise BundleError("cancelled")
        return self._file.read(size)
