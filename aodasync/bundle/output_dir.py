# SPDX-License-Identifier: MIT
"""The output directory: checked, held open, and known again when somebody moves it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from aodasync.bundle.output_path import (
    BATCHES,
    network_of,
    open_batches,
    refuse_network,
)
from aodasync.bundle.salvage import salvage_leftovers
from aodasync.host.mountinfo import read_mounts

__all__ = ["OutputDirectory"]


class OutputDirectory:
    """An output directory that is safe to write to as the caller.

    ``batches_fd`` is the open ``batches/``, locked against a second writer; of
    interrupted collections found in it, ``salvaged`` were made bundles and ``removed`` not.
    ``renewals`` is how often it had to be prepared again.
    """

    def __init__(
        self, path: Path, batches_fd: int, *, salvaged: int, removed: int, local: bool = False
    ) -> None:
        self.path = path
        self.batches = path / BATCHES
        self.batches_fd = batches_fd
        self.salvaged = salvaged
        self.removed = removed
        self.renewals = 0
        self._is_local = local
        self._former: list[int] = []
        self._lock = threading.Lock()

    @classmethod
    def prepare(cls, path: Path, *, local: bool = False) -> OutputDirectory:
        """Check the directory, create what is missing, salvage leftovers.

        It must belong to the caller, and nobody else may write it; ``batches/``
        is made 0700, and so is what is created, but for ancestors (0755). No component of
        the path may be a symbolic link, and one that all may write must be sticky. With
        ``local`` it must not be on a network file system, which is known from the kernel's
        list of mounts before anything there is looked at.

        Raises:
            OutputDirectoryError: it cannot be used safely, or is in use.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows symbolic links
        if local:
            refuse_network(path, read_mounts())
        batches_fd = open_batches(path)
        try:
            salvaged, removed = salvage_leftovers(batches_fd)
        except BaseException:
            os.close(batches_fd)
            raise
        return cls(path, batches_fd, salvaged=salvaged, removed=removed, local=local)

    def is_current(self) -> bool:
        """Whether ``batches/`` is still at its path. Blocks.

        Of one that a network's file system was mounted over nothing is looked at: bundles
        go on into what is open.
        """
        if self._is_local and network_of(self.path, read_mounts()) is not None:
            return True
        try:
            there = self.batches.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self.batches_fd))

    def renew(self) -> None:
        """Prepare the directory once more if it was removed or renamed; count it. Blocks.

        The former one stays open: a bundle may still be written to it.

        Raises:
            OutputDirectoryError: it cannot be used safely, or is in use.
        """
        with self._lock:
            if not self.is_current():
                fresh = OutputDirectory.prepare(self.path, local=self._is_local)
                self._former.append(self.batches_fd)
                self.batches_fd = fresh.batches_fd
                self.renewals += 1

    def close(self) -> None:
        """Let go of the directory."""
        for descriptor in (*self._former, self.batches_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._former.clear()
        self.batches_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
