# SPDX-License-Identifier: MIT
"""The agent's side of the live stream: batches to its readers, and a state once a second.

Without a reader nothing is done. A reader is never waited for: what it does not
take collects in its connection's buffer, and beyond :data:`MAX_BUFFER_BYTES` the reader
is cut off and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

__all__ = ["MAX_BUFFER_BYTES", "MAX_READERS", "LiveStream", "StreamMetrics"]

MAX_READERS: Final = 32
MAX_BUFFER_BYTES: Final = 4 << 20
_MAX_NAMED: Final = 2000  # rows of a batch: a header is bounded


@dataclass(slots=True)
class StreamMetrics:
    """Readers now; those served, cut off because they did not read, and refused, so far."""

    readers: int = 0
    served: int = 0
    cut_off: int = 0
    refused: int = 0


@dataclass(slots=True, eq=False)
class _Reader:
    asked: Subscription
    writer: asyncio.StreamWriter
    next_state_sec: float = 0.0


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
        self.metrics = StreamMetrics()

    def publish(self, rows: EventArray) -> None:
        """Send a batch to the readers that want any of it; returns at once."""
        for reader in tuple(self._readers):
            wanted = wanted_rows(rows, reader.asked)
            if len(wanted):
                header: dict[str, Any] = {"count": len(wanted)}
                if reader.asked.files:
                    header["files"] = self._files_of(wanted[:_MAX_NAMED])
                self._send(reader, encode("rows", header, wanted.tobytes()))

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
        try:
            writer.write(hello())
            if self._ticker is None:
                self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="live")
            else:
                self._send_state((reader,))
            if await incoming.read(1):
                writer.write(encode("error", {"error": "a reader has nothing more to say"}))
        finally:
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
            frame = state_frame(*self._look())
        except Exception as error:  # noqa: BLE001  # a view that lacks a state is still a view
            self._log.warning("live_state_failed", error=f"{type(error).__name__}: {error}")
            frame = b""
        now_sec = asyncio.get_running_loop().time()
        for reader in readers:
            reader.next_state_sec = now_sec + reader.asked.state_every_sec
            if frame:
                self._send(reader, frame)

    def _send(self, reader: _Reader, frame: bytes) -> None:
        transport = reader.writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_BUFFER_BYTES:
            self.metrics.cut_off += 1
            self._log.info("live_reader_cut_off", cut_off=self.metrics.cut_off)
            transport.abort()
            return
        reader.writer.write(frame)
