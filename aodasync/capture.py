# SPDX-License-Identifier: MIT
"""What a child prints, without its secrets, and within a byte cap: the beginning and the end.

:func:`capture` blocks and belongs in a worker thread. It reads as fast as the
child writes, whatever the amount, so that neither a flood nor a full pipe ever
meets the event loop, and it ends when told to although a pipe is still open.
"""

from __future__ import annotations

import io
import os
import select
import time
from dataclasses import dataclass
from typing import Final, Protocol

from aodasync.redaction import Redactor

__all__ = ["Captured", "HeadTail", "Sink", "capture"]

_CHUNK_BYTES: Final = 64 * 1024
# CPython hands the interpreter over when its holder sleeps, or after 5 ms of not letting go
# once; a thread that lets go for a read that is ready takes it back before another wakes.
_PAUSE_SEC: Final = 0.0002
_SWEEP_CHUNKS: Final = 16  # 1 MiB, the largest pipe that an unprivileged child can make
_MARKER_BYTES: Final = 64
_STDERR_BYTES: Final = 8192
_STDERR_TITLE: Final = b"\n--- standard error ---\n"


class Sink(Protocol):
    """Where kept bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


class HeadTail:
    """Passes on the first half of ``limit`` bytes at once and holds back the last half.

    What lies between is counted and replaced by one line that says how much it was.
    """

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._head_room = (limit + 1) // 2
        self._tail_limit = limit // 2
        self._tail = bytearray()
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        head = data[: self._head_room]
        if head:
            self._sink.write(head)
            self._head_room -= len(head)
        self._tail += data[len(head) :]
        # Twice the limit before it is cut: each byte is moved once, however small the writes.
        if len(self._tail) > 2 * self._tail_limit:
            self._cut()

    def finish(self) -> int:
        """Write what was held back; returns the number of bytes left out."""
        self._cut()
        if self._left_out:
            self._sink.write(b"\n[... %d bytes left out ...]\n" % self._left_out)
        self._sink.write(bytes(self._tail))
        return self._left_out

    def _cut(self) -> None:
        over = max(0, len(self._tail) - self._tail_limit)
        del self._tail[:over]
        self._left_out += over


class _Stream:
    """One of a child's streams. Redacted before it is cut: half a line may tell no key."""

    def __init__(self, kept: HeadTail) -> None:
        self._kept = kept
        self._redactor = Redactor()
        self.total_bytes = 0

    def write(self, data: bytes) -> None:
        self.total_bytes += len(data)
        self._kept.write(self._redactor.feed(data))

    def finish(self) -> int:
        self._kept.write(self._redactor.finish())
        return self._kept.finish()


@dataclass(frozen=True, slots=True)
class Captured:
    """How much a child printed, how much of it was left out, and what it complained of."""

    total_bytes: int
    left_out_bytes: int
    stderr: bytes


def capture(
    stdout: io.FileIO, stderr: io.FileIO, stop_fd: int, sink: Sink, max_bytes: int
) -> Captured:
    """Copy both streams into ``sink`` until they end, or ``stop_fd`` becomes readable.

    Standard error follows as a section of its own. Never more than ``max_bytes``
    are written, titles and markers included. Both streams are closed.

    Raises:
        OSError: the sink could not be written.
    """
    complaints = io.BytesIO()
    stderr_limit = min(_STDERR_BYTES, max_bytes // 8)
    overhead = 2 * _MARKER_BYTES + stderr_limit
    streams = {
        stdout.fileno(): _Stream(HeadTail(sink, max(0, max_bytes - overhead))),
        stderr.fileno(): _Stream(HeadTail(complaints, stderr_limit)),
    }
    output, errors = streams[stdout.fileno()], streams[stderr.fileno()]
    with stdout, stderr:
        _copy(streams, stop_fd)
        left_out = output.finish()
        errors.finish()
        if errors.total_bytes:
            sink.write(_STDERR_TITLE + complaints.getvalue())
    return Captured(
        total_bytes=output.total_bytes, left_out_bytes=left_out, stderr=complaints.getvalue()
    )


def _copy(streams: dict[int, _Stream], stop_fd: int) -> None:
    poll = select.poll()
    poll.register(stop_fd, select.POLLIN)
    for descriptor in streams:
        os.set_blocking(descriptor, False)
        poll.register(descriptor, select.POLLIN)
    live = set(streams)
    while live:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if stop_fd in ready:
            # The child is gone or given up; what it left in the pipes still counts.
            for descriptor in live:
                _sweep(descriptor, streams[descriptor])
            return
        for descriptor in ready:
            data = os.read(descriptor, _CHUNK_BYTES)
            if data:
                streams[descriptor].write(data)
                time.sleep(_PAUSE_SEC)
            else:
                poll.unregister(descriptor)
                live.discard(descriptor)


def _sweep(descriptor: int, into: _Stream) -> None:
    for _ in range(_SWEEP_CHUNKS):
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            return
        into.write(data)
        time.sleep(_PAUSE_SEC)
