# SPDX-License-Identifier: MIT
"""The agent's side of the live stream: batches to its readers, and a state once a second.

Without a reader nothing is done. A reader is never waited for: what it does not take waits
for it, and beyond :data:`MAX_BUFFER_BYTES` the reader is cut off and counted. Readers that
want the same share one frame; when all frames together exceed :data:`MAX_HELD_BYTES`, who is
furthest behind is cut off first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from aodasync.events import EventArray
from aodasync.live.frames import (
    FrameError,
    State,
    Subscription,
    encode,
    hello,
    state_frame,
    wanted_rows,
)

__all__ = ["MAX_BUFFER_BYTES", "MAX_HELD_BYTES", "MAX_READERS", "LiveStream", "StreamMetrics"]

MAX_READERS: Final = 32
MAX_BUFFER_BYTES: Final = 4 << 20
MAX_HELD_BYTES: Final = 8 << 20
_PIECE_BYTES: Final = 1 << 16  # asyncio copies what it cannot send at once
_MAX_NAMED: Final = 2000  # rows of a batch: a header is bounded


@dataclass(slots=True)
class StreamMetrics:
    """Readers now; those served, cut off because they did not read, and refused, so far."""

    readers: int = 0
    served: int = 0
    cut_off: int = 0
    refused: int = 0


@dataclass(slots=True, eq=False)
class _Frame:
    """What is sent, and how many readers it waits for."""

    data: bytes
    readers: int = 0


@dataclass(slots=True, eq=False)
class _Reader:
    """``behind`` bytes wait for it; ``more`` is set while there are any.

    ``half_sent``: it has got the beginning of a frame, and nothing but the rest may follow.
    """

    asked: Subscription
    writer: asyncio.StreamWriter
    next_state_sec: float = 0.0
    behind: int = 0
    half_sent: bool = False
    frames: deque[_Frame] = field(default_factory=deque)
    more: asyncio.Event = field(default_factory=asyncio.Event)


class LiveStream:
    """Serves subscriptions; ``look`` returns the state and the requests in flight of now.

    ``files_of`` names the file of each row, "" where it is unknown.
    """

    def __init__(
        self,
        look: Callable[[], tuple[State, EventArray]],
        log: FilteringBoundLogger,
        files_of: Callable[[EventArray], list[str]] = lambda rows: [""] * len(rows),
    ) -> None:
        self._files_of = files_of
        self._look = look
        self._log = log.bind(component="live")
        self._readers: set[_Reader] = set()
        self._ticker: asyncio.Task[None] | None = None
        self.held = 0
        """Bytes that wait for readers."""
        self.metrics = StreamMetrics()

    def publish(self, rows: EventArray) -> None:
        """Send a batch to the readers that want any of it; returns at once."""
        made: dict[Subscription, _Frame | None] = {}
        for reader in tuple(self._readers):
            asked = replace(reader.asked, state_every_sec=1.0)
            if asked not in made:
                made[asked] = self._rows_frame(rows, asked)
            if (frame := made[asked]) is not None:
                self._send(reader, frame)

    def _rows_frame(self, rows: EventArray, asked: Subscription) -> _Frame | None:
        wanted = wanted_rows(rows, asked)
        if len(wanted) == 0:
            return None
        header: dict[str, Any] = {"count": len(wanted)}
        if asked.files:
            header["files"] = self._files_of(wanted[:_MAX_NAMED])
        return _Frame(encode("rows", header, wanted.tobytes()))

    async def serve(
        self,
        request: Mapping[str, Any],
        incoming: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Stream to one reader until it leaves, says anything more, or does not read."""
        try:
            asked = Subscription.parse(request)
        except FrameError as error:
            self._refuse(writer, str(error))
            return
        if len(self._readers) >= MAX_READERS:
            self._refuse(writer, f"{MAX_READERS} readers are connected already")
            return
        reader = _Reader(asked, writer)
        self._readers.add(reader)
        self.metrics.served += 1
        self.metrics.readers = len(self._readers)
        sending = asyncio.create_task(self._deliver(reader), name="live-reader")
        try:
            self._send(reader, _Frame(hello()))
            if self._ticker is None:
                self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="live")
            else:
                self._send_state((reader,))
            if await incoming.read(1):
                sending.cancel()
                if not reader.half_sent:
                    writer.write(encode("error", {"error": "a reader has nothing more to say"}))
        finally:
            sending.cancel()
            self._forget(reader)
            self._readers.discard(reader)
            self.metrics.readers = len(self._readers)

    def _refuse(self, writer: asyncio.StreamWriter, reason: str) -> None:
        self.metrics.refused += 1
        writer.write(encode("error", {"error": reason}))

    async def _tick(self) -> None:
        """Send states while anybody reads."""
        loop = asyncio.get_running_loop()
        try:
            while self._readers:
                now_sec = loop.time()
                due = [r for r in self._readers if r.next_state_sec <= now_sec]
                if due:
                    self._send_state(due)
                following = min((r.next_state_sec for r in self._readers), default=now_sec)
                await asyncio.sleep(max(0.05, following - loop.time()))
        finally:
            self._ticker = None

    def _send_state(self, readers: list[_Reader] | tuple[_Reader, ...]) -> None:
        try:
            frame = _Frame(state_frame(*self._look()))
        except Exception as error:  # noqa: BLE001  # a view that lacks a state is still a view
            self._log.warning("live_state_failed", error=f"{type(error).__name__}: {error}")
            frame = None
        now_sec = asyncio.get_running_loop().time()
        for reader in readers:
            reader.next_state_sec = now_sec + reader.asked.state_every_sec
            if frame is not None:
                self._send(reader, frame)

    def _send(self, reader: _Reader, frame: _Frame) -> None:
        """Let a frame wait for a reader, unless that is, or has to be, cut off."""
        if reader.writer.transport.is_closing():
            return
        if reader.behind > MAX_BUFFER_BYTES:
            self._cut_off(reader)
            return
        reader.frames.append(frame)
        reader.behind += len(frame.data)
        frame.readers += 1
        if frame.readers == 1:
            self.held += len(frame.data)
        reader.more.set()
        while self.held > MAX_HELD_BYTES and reader.frames:
            self._cut_off(max(self._readers, key=lambda each: each.behind))

    async def _deliver(self, reader: _Reader) -> None:
        """Send what waits for a reader, as fast as it reads, until cancelled or cut off."""
        try:
            while await reader.more.wait():
                data = memoryview(reader.frames[0].data)
                reader.half_sent = True
                for start in range(0, len(data), _PIECE_BYTES):
                    reader.writer.write(data[start : start + _PIECE_BYTES])
                    await reader.writer.drain()
                reader.half_sent = False
                if not reader.frames:
                    return
                self._sent(reader)
        except OSError:
            pass  # it has left, which whoever serves it sees as well

    def _sent(self, reader: _Reader) -> None:
        frame = reader.frames.popleft()
        reader.behind -= len(frame.data)
        frame.readers -= 1
        if frame.readers == 0:
            self.held -= len(frame.data)
        if not reader.frames:
            reader.more.clear()

    def _forget(self, reader: _Reader) -> None:
        while reader.frames:
            self._sent(reader)

    def _cut_off(self, reader: _Reader) -> None:
        self._forget(reader)
        self.metrics.cut_off += 1
        self._log.info("live_reader_cut_off", cut_off=self.metrics.cut_off)
        reader.writer.transport.abort()
