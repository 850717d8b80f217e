# SPDX-License-Identifier: MIT
"""A file system whose server takes a request and never answers, until it is told to.

After the kernel handed a request to a FUSE server, who waits for its answer can be
interrupted no more: a fatal signal moves the wait from killable to uninterruptible
(``request_wait_answer``, fs/fuse/dev.c: "Either request is already in userspace, or it
was forced. Wait it out."). So a reader here first sleeps (S), and after SIGKILL
is in state D for as long as the server likes.

The server is a thread that speaks the little of the protocol (linux/fuse.h, 7.31)
that ``cat FILE`` needs. When its process dies, the kernel aborts the connection and
lets everybody go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import struct
import subprocess
import threading
from pathlib import Path
from typing import Final, Self

__all__ = ["FLUSH", "READ", "FrozenMount"]

READ: Final = 15
FLUSH: Final = 25

_LOOKUP, _FORGET, _GETATTR, _OPEN, _RELEASE = 1, 2, 3, 14, 18
_INIT, _INTERRUPT, _BATCH_FORGET = 26, 36, 42
_SILENT: Final = frozenset({_FORGET, _BATCH_FORGET, _INTERRUPT})

_IN_HEADER: Final = struct.Struct("=IIQQIIIHH")
_OUT_HEADER: Final = struct.Struct("=IiQ")
_ATTR: Final = struct.Struct("=6Q10I")
_ROOT_ID, _FILE_ID = 1, 2
_REQUEST_BYTES: Final = 1 << 17
_FILE_BYTES: Final = 4096


class FrozenMount:
    """Mounted at ``point`` for the block's time; any name in it is a file of 4 KiB.

    Requests of one kind (``held``: READ, or FLUSH, which each close of a file sends) hang
    until :meth:`thaw`. ``requests`` counts all that came from the kernel, what ends a wait
    or drops a cache (INTERRUPT, FORGET, FLUSH, RELEASE) left aside.
    """

    def __init__(self, point: Path, held: int = READ) -> None:
        self.point = point
        self._held = held
        self.requests = 0
        self._frozen = True
        self._hung: list[int] = []
        self._lock = threading.Lock()
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0"
        argv = ["mount", "-i", "-t", "fuse", "-o", options, "frozen", str(self.point)]
        subprocess.run(argv, check=True, capture_output=True, pass_fds=[self._fd])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        subprocess.run(["umount", "-l", str(self.point)], check=True)
        os.eventfd_write(self._stop_fd, 1)
        self._thread.join()
        os.close(self._fd)
        os.close(self._stop_fd)

    def thaw(self) -> None:
        """Answer every request that hangs, and from now on at once."""
        with self._lock:
            self._frozen = False
            for unique in self._hung:
                self._answer(unique, b"")
            self._hung.clear()

    @property
    def hanging(self) -> int:
        """Requests that hang now."""
        return len(self._hung)

    def freeze(self) -> None:
        """Let requests hang again."""
        with self._lock:
            self._frozen = True

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._stop_fd in ready or ready.get(self._fd, 0) & select.POLLERR:
                return
            try:
                request = os.read(self._fd, _REQUEST_BYTES)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # unmounted
                continue  # the request was taken back meanwhile
            with self._lock:
                self._handle(request)

    def _handle(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = _IN_HEADER.unpack_from(request)
        if opcode in _SILENT:
            return
        if opcode not in (FLUSH, _RELEASE, _INIT):
            self.requests += 1
        if opcode == self._held and self._frozen:
            self._hung.append(unique)
        elif opcode == _INIT:
            # 7.31, no read-ahead, no flags, 16 requests in the background, 64 KiB a write
            self._answer(unique, struct.pack("=IIIIHHI40x", 7, 31, 0, 0, 16, 12, 1 << 16))
        elif opcode == _LOOKUP:
            # never cached: each use of the mount comes here
            self._answer(unique, struct.pack("=QQQQII", _FILE_ID, 0, 0, 0, 0, 0) + _attr(_FILE_ID))
        elif opcode == _GETATTR:
            self._answer(unique, struct.pack("=QII", 0, 0, 0) + _attr(node))
        elif opcode == _OPEN:
            self._answer(unique, struct.pack("=QII", 0, 0, 0))
        elif opcode in (READ, FLUSH, _RELEASE):
            self._answer(unique, b"")
        else:
            self._answer(unique, b"", -errno.ENOSYS)

    def _answer(self, unique: int, data: bytes, error: int = 0) -> None:
        reply = _OUT_HEADER.pack(_OUT_HEADER.size + len(data), error, unique) + data
        with contextlib.suppress(FileNotFoundError):  # who asked was killed meanwhile
            os.write(self._fd, reply)


def _attr(node: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == _ROOT_ID else stat.S_IFREG | 0o755
    # ino, size, blocks, 3 times; 3 times' ns, mode, nlink, uid, gid, rdev, blksize, flags
    return _ATTR.pack(node, _FILE_BYTES, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
