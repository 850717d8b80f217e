# SPDX-License-Identifier: MIT
"""The live stream: readers get what they asked for, and none is ever waited for."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import structlog

from aodasync.events import EVENT
from aodasync.live.frames import Decoder, Frame, Subscription
from aodasync.tasks.control_server import SOCKET_NAME, ControlServer
from aodasync.tasks.live_stream import MAX_HELD_BYTES, MAX_READERS, LiveStream
from tests.builders import MS, SECOND, in_flight, request, requests
from tests.loop_lag import loop_lag

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _served(tmp_path: Path, stream: LiveStream) -> AsyncIterator[Path]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await stream.serve(json.loads(await reader.readline()), reader, writer)
        except OSError:
            pass  # it has left, as the control server takes it
        finally:
            writer.close()

    path = tmp_path / "live.sock"
    async with await asyncio.start_unix_server(serve, path):
        yield path


def _stream(looks: list[int] | None = None) -> LiveStream:
    def look() -> tuple[dict[str, int], np.ndarray]:
        (looks if looks is not None else []).append(1)
        return {"now_ns": 5}, in_flight(issued_ns=1)

    return LiveStream(look, structlog.get_logger())


async def _frames(reader: asyncio.StreamReader, decoder: Decoder, count: int) -> list[Frame]:
    found: list[Frame] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            data = await reader.read(1 << 16)
            assert data
            found += decoder.feed(data)
    return found


async def test_a_reader_gets_hello_state_and_rows(tmp_path: Path) -> None:
    """The rows are the batch's own, those that it asked for."""
    stream = _stream()
    rows = requests(
        request(released_ns=SECOND, latency_ns=MS), request(released_ns=SECOND, latency_ns=9 * MS)
    )
    async with _served(tmp_path, stream) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(Subscription(min_ms=5).encode())
        decoder = Decoder()
        hello, state = await _frames(reader, decoder, 2)
        stream.publish(rows)
        (sent,) = await _frames(reader, decoder, 1)
        writer.close()
    assert (hello.type, state.type, sent.type) == ("hello", "state", "rows")
    assert len(state.rows) == 1
    assert (sent.rows == rows[1:]).all()


async def test_a_reader_that_wants_them_gets_the_files(tmp_path: Path) -> None:
    """Named in the header, one a row; who does not ask is sent none, and costs no look."""
    looks: list[int] = []

    def files_of(rows: np.ndarray) -> list[str]:
        looks.append(len(rows))
        return ["dir/file"] * len(rows)

    def look() -> tuple[dict[str, int], np.ndarray]:
        return {"now_ns": 5}, in_flight(issued_ns=1)

    stream = LiveStream(look, structlog.get_logger(), files_of)
    rows = requests(request(released_ns=SECOND), request(released_ns=SECOND))
    found = []
    for files in True, False:
        async with _served(tmp_path, stream) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(Subscription(files=files).encode())
            decoder = Decoder()
            await _frames(reader, decoder, 2)
            stream.publish(rows)
            (sent,) = await _frames(reader, decoder, 1)
            found.append(sent.header.get("files"))
            writer.close()
        path.unlink(missing_ok=True)
    assert found == [["dir/file"] * 2, None]
    assert looks == [2]


async def test_nothing_is_looked_at_while_nobody_reads(tmp_path: Path) -> None:
    """Neither before a reader comes nor after it has left."""
    looks: list[int] = []
    stream = _stream(looks)
    stream.publish(np.zeros(10, EVENT))
    assert not looks
    async with _served(tmp_path, stream) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(Subscription(state_every_sec=0.1).encode())
        await _frames(reader, Decoder(), 2)
        writer.close()
        async with asyncio.timeout(10):
            while stream.metrics.readers:  # noqa: ASYNC110  # a figure, polled as users do
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        seen = len(looks)
        await asyncio.sleep(0.3)
    assert len(looks) == seen


async def test_a_reader_that_does_not_read_is_cut_off_and_counted(tmp_path: Path) -> None:
    """The others get every row."""
    stream = _stream()
    batch = np.zeros(20_000, EVENT)
    batch["issued_ns"] = 1
    async with _served(tmp_path, stream) as path:
        lazy, lazy_writer = await asyncio.open_unix_connection(path)
        eager, eager_writer = await asyncio.open_unix_connection(path)
        decoder, got = Decoder(), 0
        for writer in (lazy_writer, eager_writer):
            writer.write(Subscription(state_every_sec=3600).encode())
        await _frames(eager, decoder, 2)
        async with asyncio.timeout(30):
            for _ in range(10):
                stream.publish(batch)
                wanted = got + len(batch)
                while got < wanted:
                    got += sum(len(f.rows) for f in decoder.feed(await eager.read(1 << 20)))
        assert stream.metrics.cut_off == 1
        eager_writer.close()
        lazy_writer.close()
        del lazy


async def test_readers_that_do_not_read_hold_little_memory_all_together(tmp_path: Path) -> None:
    """However many there are and whatever they asked for; who reads gets every row."""
    stream = _stream()
    batch = np.zeros(5_000, EVENT)
    batch["issued_ns"], batch["released_ns"] = 1, SECOND
    async with _served(tmp_path, stream) as path:
        lazy = [await asyncio.open_unix_connection(path) for _ in range(MAX_READERS - 1)]
        for number, (_, writer) in enumerate(lazy):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(Subscription(min_ms=number % 5, state_every_sec=3600).encode())
        eager, eager_writer = await asyncio.open_unix_connection(path)
        eager_writer.write(Subscription(state_every_sec=3600).encode())
        decoder = Decoder()
        await _frames(eager, decoder, 2)
        async with asyncio.timeout(30):
            while stream.metrics.readers < MAX_READERS:  # noqa: ASYNC110  # a figure
                await asyncio.sleep(0.01)
            most = got = 0
            for number in range(1, 61):
                stream.publish(batch)
                most = max(most, stream.held)
                while got < number * len(batch):
                    got += sum(len(f.rows) for f in decoder.feed(await eager.read(1 << 20)))
        assert 0 < most <= MAX_HELD_BYTES
        assert stream.metrics.cut_off == len(lazy)
        eager_writer.close()
        for _, writer in lazy:
            writer.close()
    async with asyncio.timeout(10):
        while stream.metrics.readers:  # noqa: ASYNC110  # a figure
            await asyncio.sleep(0.01)
    assert stream.held == 0


async def test_who_is_furthest_behind_is_cut_off_first(tmp_path: Path) -> None:
    """One that came late and fits stays, as long as those before it make room."""
    stream = _stream()
    batch = np.zeros(30_000, EVENT)  # 2.9 MB
    batch["issued_ns"], batch["released_ns"] = 1, SECOND
    async with _served(tmp_path, stream) as path:
        readers = []
        for number in range(4):
            reader = socket.socket(socket.AF_UNIX)  # which never reads
            readers.append(reader)
            reader.connect(str(path))
            reader.sendall(Subscription(min_ms=number, state_every_sec=3600).encode())
            async with asyncio.timeout(10):
                while stream.metrics.readers + stream.metrics.cut_off <= number:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            stream.publish(batch)
            await asyncio.sleep(0.05)
        assert stream.metrics.cut_off > 0
        assert not stream._readers or max(r.asked.min_ms for r in stream._readers) == 3
        for reader in readers:
            reader.close()


@pytest.mark.parametrize("said", [b'{"version": 9}\n', b'{"min_ms": "x"}\n', b"{}\nmore"])
async def test_a_reader_that_says_something_odd_is_refused(tmp_path: Path, said: bytes) -> None:
    """With an error frame, and the connection closes."""
    async with _served(tmp_path, _stream()) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(said)
        async with asyncio.timeout(10):
            data = await reader.read(-1)
        assert list(Decoder().feed(data))[-1].type == "error"
        writer.close()


async def test_there_are_at_most_so_many_readers(tmp_path: Path) -> None:
    """One more is refused; after one has left there is room."""
    stream = _stream()
    async with _served(tmp_path, stream) as path:
        readers = [await asyncio.open_unix_connection(path) for _ in range(MAX_READERS + 1)]
        for reader, writer in readers[:-1]:
            writer.write(Subscription().encode())
            await _frames(reader, Decoder(), 1)
        reader, writer = readers[-1]
        writer.write(Subscription().encode())
        (frame,) = await _frames(reader, Decoder(), 1)
        assert frame.type == "error"
        for _, writer in readers:
            writer.close()
    assert stream.metrics.refused == 1


_READERS = 18
_BATCHES = 60
_BATCH_ROWS = 1000
# Readers in a process of their own: how many rows each got, as soon as all got all of them.
_READ = """
import json, select, socket, sys, time
from aodasync.live.frames import Decoder, Subscription

path, count, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
readers = {}
for _ in range(count):
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(path)
    channel.sendall(Subscription().encode())
    readers[channel] = Decoder()
got = dict.fromkeys(readers, 0)
hello = set()
end = time.monotonic() + 60
while min(got.values()) < rows and time.monotonic() < end:
    for channel in select.select(list(readers), [], [], 0.5)[0]:
        for frame in readers[channel].feed(channel.recv(1 << 18)):
            got[channel] += len(frame.rows) if frame.type == "rows" else 0
            hello.add(channel)
        if len(hello) == count:
            print("ready", flush=True)
            hello.add(None)
print(json.dumps(list(got.values())))
"""


async def test_twenty_readers_hold_nobody_up(tmp_path: Path) -> None:
    """One is stopped, one sends garbage: the loop is never 20 ms late, and no row is lost."""
    stream = _stream()
    log = structlog.get_logger()
    task = asyncio.create_task(ControlServer(tmp_path, {}, log, stream.serve).run())
    path = tmp_path / SOCKET_NAME
    while not path.exists():  # noqa: ASYNC110  # a path has no event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    _, stopped = await asyncio.open_unix_connection(path)
    stopped.write(Subscription().encode())
    stopped.transport.pause_reading()  # type: ignore[attr-defined]
    _, garbage = await asyncio.open_unix_connection(path)
    garbage.write(b"\xff" * 3000 + b"\n")
    numbers = (str(_READERS), str(_BATCHES * _BATCH_ROWS))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READ, str(path), *numbers, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    batch = np.zeros(_BATCH_ROWS, EVENT)
    batch["issued_ns"] = 1
    async with asyncio.timeout(90):
        assert await child.stdout.readline() == b"ready\n"
        async with loop_lag() as lags:
            for _ in range(_BATCHES):
                stream.publish(batch)
                await asyncio.sleep(0.05)
            got = json.loads(await child.stdout.readline())
        await child.wait()
    assert got == [_BATCHES * _BATCH_ROWS] * _READERS
    assert max(lags) < 20
    assert stream.metrics.cut_off == 1
    for writer in (stopped, garbage):
        writer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
