# SPDX-License-Identifier: MIT
"""The directory in which a bundle is collected. Everything blocks."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO, Final

from aodasync.bundle import events_file
from aodasync.bundle.bundle_name import PARTIAL_SUFFIX, BundleName
from aodasync.events import EventArray
from aodasync.host import safe_files

__all__ = ["PartialBundle"]

_EVENTS: Final = "events.npy"
_LAST_NS: Final = (1 << 63) - 1  # of the kernel's clocks
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

    def create(self, now_ns: int | None = None) -> None:
        """Create the directory: of the first nanosecond, from the wanted one on, that is free.

        ``now_ns`` is CLOCK_REALTIME. A name there that is of a later time was given before the
        clock was set back; the new one follows it, so that names sort as bundles were made.
        """
        if now_ns is not None and (newest_ns := self._newest_ns()) >= now_ns:
            self.name = BundleName(max(self.name.realtime_ns, newest_ns + 1), self.name.anomaly)
        while self.directory_fd < 0:
            if not safe_files.exists(self.name.archive, dir_fd=self._batches_fd):
                with contextlib.suppress(FileExistsError):
                    self.directory_fd = safe_files.make_directory(
                        self.name.directory, dir_fd=self._batches_fd
                    )
                    return
            self.name = BundleName(self.name.realtime_ns + 1, self.name.anomaly)

    def _newest_ns(self) -> int:
        """The latest time in a name there; 0 without any. What no clock shows is not of ours."""
        with os.scandir(self._batches_fd) as entries:
            names = [BundleName.parse(e.name.removesuffix(PARTIAL_SUFFIX)) for e in entries]
        times = [name.realtime_ns for name in names if name is not None]
        return max((time_ns for time_ns in times if time_ns < _LAST_NS), default=0)

    def write(self, file: str, data: bytes) -> None:
        """Create a file in it."""
        safe_files.write(file, data, dir_fd=self.directory_fd)

    def drop(self, file: str) -> None:
        """Remove a file from it, if it is there."""
        safe_files.remove(file, dir_fd=self.directory_fd)

    def write_events(self, rows: EventArray) -> None:
        """Create ``events.npy`` in it, in the place of an earlier one if there is one."""
        with self._new_events() as file:
            events_file.encode(file, rows)
        self._rename(_NEW_EVENTS, _EVENTS)

    def extend_events(self, rows: EventArray, most: int) -> tuple[int, int]:
        """Let ``events.npy`` hold its newest ``most`` rows with these; how many of each it has."""
        with self._events() as earlier, self._new_events() as file:
            counts = events_file.extend(file, earlier, rows, most)
        self._rename(_NEW_EVENTS, _EVENTS)
        return counts

    def events(self) -> EventArray:
        """The rows in ``events.npy``, read-only; the file is not copied into memory."""
        with self._events() as file:
            return events_file.mapped(file)

    def _events(self) -> BinaryIO:
        return os.fdopen(safe_files.open_regular(_EVENTS, dir_fd=self.directory_fd), "rb")

    def _new_events(self) -> BinaryIO:
        safe_files.remove(_NEW_EVENTS, dir_fd=self.directory_fd)  # of a try without room
        return os.fdopen(safe_files.create(_NEW_EVENTS, dir_fd=self.directory_fd), "wb")

    def replace(self, file: str, data: bytes) -> None:
        """Create a file in it in the place of an earlier one."""
        self.drop(f"{file}{PARTIAL_SUFFIX}")
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
