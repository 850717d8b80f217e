# SPDX-License-Identifier: MIT
"""What a child prints, without its secrets, and within a byte cap: the beginning and the end.

:func:`capture` blocks and belongs in a worker thread. It reads as fast as the
child writes, whatever the amount, so that neither a flood nor a full pipe ever
reaches the event loop, and it can be ended although a pipe is still open.
"""

from __future__ import annotations

import io
import os
import select
from dataclasses import dataclass
from typing import Final, Protocol

from aodasync.privacy.redaction import CPU_BUDGET_SEC, LOOK_BACK_BYTES, CpuBudget, Redactor, pause

__all__ = ["Captured", "HeadTail", "Sink", "capture"]

_CHUNK_BYTES: Final = 64 * 1024
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

    def skip(self, count: int) -> None:
        """Leave out what is held back, and ``count`` bytes of the stream that follow it."""
        self._left_out += len(self._tail) + count
        self._tail.clear()

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
    """One of a child's streams. Redacted before it is cut: half a line may show no name.

    Once ``budget`` is spent, its end is held back as it comes, and a little of what comes
    before it. It is redacted when it is known to be the end, from the beginning of a line.
    """

    def __init__(self, kept: HeadTail, limit: int, budget: CpuBudget) -> None:
        self._kept = kept
        self._budget = budget
        self._redactor = Redactor(budget, between=pause)
        self._held = bytearray()
        self._held_limit = limit // 2 + LOOK_BACK_BYTES
        self._skipped = 0
        self.total_bytes = 0

    def write(self, data: bytes) -> None:
        self.total_bytes += len(data)
        if not self._budget.spent:
            self._kept.write(self._redactor.feed(data))
            return
        self._held += data
        if len(self._held) > 2 * self._held_limit:
            self._cut()

    def finish(self, budget: CpuBudget) -> int:
        """Write the end; returns the number of bytes left out."""
        if not self._budget.spent:
            self._kept.write(self._redactor.finish())
            return self._kept.finish()
        self._cut()
        held = bytes(self._held)
        # Half a line could be the second half of a secret.
        begin = held.find(b"\n", LOOK_BACK_BYTES if self._skipped else 0) + 1 or len(held)
        redactor = Redactor(budget, between=pause)
        redactor.feed(held[:begin])
        self._kept.skip(self._redactor.left_out_bytes + self._skipped + begin)
        self._kept.write(redactor.feed(held[begin:]) + redactor.finish())
        return self._kept.finish() + redactor.left_out_bytes

    def _cut(self) -> None:
        over = max(0, len(self._held) - self._held_limit)
        del self._held[:over]
        self._skipped += over


class _RawStream:
    """A stream that a program reads: as it comes, within its limit."""

    def __init__(self, kept: HeadTail) -> None:
        self._kept = kept
        self.write = kept.write
        self.total_bytes = 0  # standard error is not added to the output

    def finish(self, _budget: CpuBudget) -> int:
        """Write the end; returns the number of bytes left out."""
        return self._kept.finish()


@dataclass(frozen=True, slots=True)
class Captured:
    """How much of what a child printed was left out, and its standard error."""

    left_out_bytes: int
    stderr: bytes


def capture(
    stdout: io.FileIO,
    stderr: io.FileIO,
    stop_fd: int,
    sink: Sink,
    max_bytes: int,
    *,
    raw: bool = False,
) -> Captured:
    """Copy both streams into ``sink`` until they end, or ``stop_fd`` becomes readable.

    Standard error follows as a section of its own. Never more than ``max_bytes``
    are written, titles and markers included. Both streams are closed. ``raw`` output is
    for a program: it is not redacted, and standard error not added to it.

    Raises:
        OSError: the sink could not be written.
    """
    complaints = io.BytesIO()
    stderr_limit = min(_STDERR_BYTES, max_bytes // 8)
    overhead = 2 * _MARKER_BYTES + stderr_limit
    limit = max(0, max_bytes - overhead)
    budget = CpuBudget(CPU_BUDGET_SEC / 2)
    kept = (
        (stdout, HeadTail(sink, limit), limit),
        (stderr, HeadTail(complaints, stderr_limit), stderr_limit),
    )
    streams = {
        file.fileno(): _RawStream(into) if raw else _Stream(into, most, budget)
        for file, into, most in kept
    }
    output, errors = streams[stdout.fileno()], streams[stderr.fileno()]
    with stdout, stderr:
        _copy(streams, stop_fd)
        rest = CpuBudget(CPU_BUDGET_SEC / 2)
        left_out = output.finish(rest)
        errors.finish(rest)
        if errors.total_bytes:
            sink.write(_STDERR_TITLE + complaints.getvalue())
    return Captured(left_out_bytes=left_out, stderr=complaints.getvalue())


def _copy(streams: dict[int, _Stream | _RawStream], stop_fd: int) -> None:
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
                pause()
            else:
                poll.unregister(descriptor)
                live.discard(descriptor)


def _sweep(descriptor: int, into: _Stream | _RawStream) -> None:
    for _ in range(_SWEEP_CHUNKS):
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            return
        into.write(data)
        pause()
