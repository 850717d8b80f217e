# SPDX-License-Identifier: MIT
"""The directory in which a bundle is collected. Everything blocks."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO, Final

from aodasync import safe_files
from aodasync.bundle import rows as recorded
from aodasync.bundle.names import PARTIAL_SUFFIX, BundleName
from aodasync.events import EventArray

__all__ = ["PartialBundle"]

_EVENTS: Final = "events.npy"
_NEW_EVENTS: Final = _EVENTS + PARTIAL_SUFFIX


class PartialBundle:
    """``NAME.partial`` below ``batches_fd``, open as ``directory_fd``.

    ``name`` is the one wanted until it is created, and from then on the one it got.
    """

    def __init__(self, wanted: BundleName, batches_fd: int) -> None:
        self.name = wanted
        self.directory_fd = -1
        self._batches_fd = batches_fd

    def free_bytes(self) -> int:
        """Space on the file system it is to be on."""
        space = os.fstatvfs(self._batches_fd)
        return space.f_bavail * space.f_frsize

    def create(self) -> None:
        """Create the directory: of the first nanosecond, from the wanted one on, that is free."""
        while self.directory_fd < 0:
            if not self._taken(self.name.archive):
                with contextlib.suppress(FileExistsError):
                    self.directory_fd = safe_files.make_directory(
                        self.name.directory, dir_fd=self._batches_fd
                    )
                    return
            self.name = BundleName(self.name.realtime_ns + 1, self.name.anomaly)

    def write(self, file: str, data: bytes) -> None:
        """Create a file in it."""
        safe_files.write(file, data, dir_fd=self.directory_fd)

    def write_events(self, rows: EventArray) -> None:
        """Create ``events.npy`` in it, in the place of an earlier one if there is one."""
        with self._new_events() as file:
            recorded.encode(file, rows)
        self._rename(_NEW_EVENTS, _EVENTS)

    def extend_events(self, rows: EventArray, most: int) -> tuple[int, int]:
        """Let ``events.npy`` hold its newest ``most`` rows with these; how many of each it has."""
        with self._events() as earlier, self._new_events() as file:
            counts = recorded.extend(file, earlier, rows, most)
        self._rename(_NEW_EVENTS, _EVENTS)
        return counts

    def events(self) -> EventArray:
        """The rows in ``events.npy``, read-only; the file is not copied into memory."""
        with self._events() as file:
            return recorded.mapped(file)

    def _events(self) -> BinaryIO:
        return os.fdopen(safe_files.open_regular(_EVENTS, dir_fd=self.directory_fd), "rb")

    def _new_events(self) -> BinaryIO:
        return os.fdopen(safe_files.create(_NEW_EVENTS, dir_fd=self.directory_fd), "wb")

    def replace(self, file: str, data: bytes) -> None:
        """Create a file in it in the place of an earlier one."""
        self.write(f"{file}{PARTIAL_SUFFIX}", data)
        self._rename(f"{file}{PARTIAL_SUFFIX}", file)

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.directory_fd, dst_dir_fd=self.directory_fd)

    def remove(self) -> None:
        """Remove the directory with all in it, if it was created."""
        if self.directory_fd >= 0:
            os.close(self.directory_fd)
            self.directory_fd = -1
            safe_files.remove(self.name.directory, dir_fd=self._batches_fd)

    def _taken(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self._batches_fd)
        except FileNotFoundError:
            return False
        return True
