# SPDX-License-Identifier: MIT
"""What is fuzzed: a name, bytes to start from, and a check that raises on what must not be.

Every check allows the errors that are documented for its reader, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
import zstandard

import aodasync
import bootstrap
from aodasync.actions.mounts import smb_mounts
from aodasync.actions.netstat import parse_counters
from aodasync.actions.stats import changed_lines
from aodasync.bundle.archive import check, load_recording, read_manifest
from aodasync.cli.bundle_text import describe
from aodasync.config import loads, to_json, to_yaml
from aodasync.detection.detector import View
from aodasync.detection.engine import Engine
from aodasync.errors import BundleError, ConfigError, RecordingError
from aodasync.events import EVENT, NO_OPERATIONS, EventArray
from aodasync.evidence import history
from aodasync.host.mountinfo import parse_mountinfo
from aodasync.host.printable import printable, printable_text
from aodasync.live.frames import Decoder, FrameError
from aodasync.probes.records import RECORD
from aodasync.probes.ring import RECORD_BYTES
from aodasync.replay import batches
from aodasync.report import render
from aodasync.report.content import read_bundle
from aodasync.report.summary import shares_by_tree, sockets
from aodasync.smb.client_stats import client_totals
from aodasync.status import in_flight_summary, server_summary
from aodasync.tasks.control_server import ControlServer
from tests.builders import config, connection_anomaly, error_anomaly, hang_anomaly, latency_anomaly
from tests.fuzz import redaction
from tests.fuzz.bundle_maker import BUNDLE, MANIFEST, entry, events_file, rows
from tests.unit.probes.fake_ring import FakeRing, record

__all__ = ["TARGETS", "Target"]

_NS_PER_BYTE: Final = 50_000
_FREE_SEC: Final = 1.0
_PAGE_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """``check`` takes any bytes; ``seeds`` are good ones."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


@contextlib.contextmanager
def _file(data: bytes) -> Any:
    """A file with this content, in memory."""
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def timed(function: Callable[[bytes], object], data: bytes) -> None:
    """Call it; time per byte is bounded, and grows with the bytes alone.

    Raises:
        AssertionError: it took too long.
    """
    begun = time.process_time()
    function(data)
    spent_sec = time.process_time() - begun
    bound_sec = _FREE_SEC + len(data) * _NS_PER_BYTE / 1e9
    assert spent_sec < bound_sec, f"{len(data)} bytes took {spent_sec:.1f} s"


def _configuration(data: bytes) -> None:
    timed(lambda data: _load(data.decode("utf-8", "ignore")), data)


def _load(text: str) -> None:
    said = ""
    try:
        loaded = loads(text, "fuzzed.yaml")
        to_yaml(loaded)
        json.dumps(to_json(loaded))
    except ConfigError as error:
        said = str(error)
    assert len(said) < 1 << 20


def _configurations() -> list[bytes]:
    root = Path(aodasync.__file__).parents[1]
    found = [*(root / "config").glob("*.yaml"), *(root / "tests/unit/config").rglob("*.yaml")]
    return [path.read_bytes() for path in found]


def _read(path: Path) -> None:
    with contextlib.suppress(BundleError):
        page = describe(read_manifest(path))
        assert printable_text(page) == page
    with contextlib.suppress(RecordingError):
        page = render(read_bundle(path))
        assert len(page) < _PAGE_BYTES
        page.encode("utf-8")
    for problem in check(path).problems:
        printable(problem).encode("utf-8")


def _compressed(tar: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(tar)


def _zstd(data: bytes) -> None:
    with _file(data) as path:
        _read(path)


def _tar(data: bytes) -> None:
    with _file(_compressed(data)) as path:
        _read(path)


def _good_tar(manifest: bytes, in_flight: bytes = b"[]", events: bytes = b"") -> bytes:
    held = {
        "manifest.json": manifest,
        "inflight.json": in_flight,
        "events.npy": events or events_file(rows()),
        "dmesg.log": b"hello\n",
    }
    return b"".join(entry(f"{BUNDLE}/{name}", data) for name, data in held.items()) + bytes(1024)


def _manifest(data: bytes) -> None:
    _tar(_good_tar(data, in_flight=data))


def _recording(data: bytes) -> None:
    with _file(_compressed(_good_tar(json.dumps(MANIFEST).encode(), events=data))) as path:
        _read(path)
        try:
            _, found = load_recording(path)
        except RecordingError:
            return
        _detect(found)


def _rows(data: bytes) -> None:
    whole = len(data) - len(data) % EVENT.itemsize
    _recording(events_file(np.frombuffer(data[:whole], EVENT)))


@cache
def _watched() -> Any:
    return config(latency_anomaly(), error_anomaly(), hang_anomaly(), connection_anomaly())


def _detect(found: EventArray) -> None:
    """Judge a short recording, as a replay does."""
    engine = Engine(_watched(), lambda number: f"server {number}")
    now_ns = 0
    for batch in list(batches(found))[:20]:
        now_ns = batch.drained_ns
        engine.process(batch.rows, now_ns)
        server_summary(batch.rows, str, now_ns)
    in_flight_summary(found, now_ns)
    engine.look(View(now_ns, found[found["released_ns"] == 0], NO_OPERATIONS))
    engine.tick(now_ns + 10**10)
    assert not engine.take_failures()


def _texts(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    parse_mountinfo(lines)
    smb_mounts(lines)
    bootstrap.cifs_mounts(text)
    half = len(text) // 2
    changed_lines(text[:half], text[half:])
    client_totals(text[:half]).since(client_totals(text[half:]))
    parse_counters(text)
    shares_by_tree({}, {"debug_data.log": text})
    sockets(text)
    history.episodes(data.split(b"\n"))
    render_safe = printable_text(text)
    assert printable_text(render_safe) == render_safe


def _control(data: bytes) -> None:
    asyncio.run(_serve(data))


async def _serve(data: bytes) -> None:
    async def status() -> Mapping[str, Any]:
        return {"probe": "fuzz"}

    log: Any = structlog.get_logger()
    with tempfile.TemporaryDirectory() as directory:
        server = ControlServer(Path(directory), {"status": status}, log)
        reader = asyncio.StreamReader(limit=4096)
        reader.feed_data(data)
        reader.feed_eof()
        writer = _Writer()
        await server._serve(reader, writer)  # type: ignore[arg-type]
        assert writer.closed
        for line in writer.data.splitlines():
            assert isinstance(json.loads(line), dict)


class _Writer:
    """What the server writes to."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        pass

    @property
    def transport(self) -> _Writer:
        return self

    def abort(self) -> None:
        self.closed = True


def _frames(data: bytes) -> None:
    decoder = Decoder()
    with contextlib.suppress(FrameError):
        for start in range(0, len(data), 100):
            list(decoder.feed(data[start : start + 100]))


def _ring(data: bytes) -> None:
    """Any bytes in the ring: the reader ends, and reads nothing beyond what was produced."""
    ring = FakeRing()
    try:
        content = data[: ring.size]
        ring._bytes[: len(content)] = np.frombuffer(content, "u1")
        ring.producer[0] = len(content) // 8 * 8
        for _ in range(3):
            found = ring.reader.read(1000)
            assert len(found) <= len(content) // RECORD_BYTES
    finally:
        ring.close()


def _ring_seeds() -> list[bytes]:
    header = np.array([RECORD.itemsize], "<u8").tobytes()
    return [b"".join(header + record(n) for n in range(5)), bytes(64)]


def _text_seeds() -> list[bytes]:
    stats = Path(aodasync.__file__).parents[1] / "tests/unit/smb/stats"
    mountinfo = b"36 35 0:50 / /mnt/a\\040b rw shared:1 - cifs //nas/share rw\n"
    tcp = b"ESTAB 0 0 10.0.0.1:4 10.0.0.2:445\n\t cubic rtt:3/1 retrans:0/1\n"
    return [mountinfo, tcp, *(path.read_bytes() for path in sorted(stats.iterdir()))]


def _bundle_tar() -> bytes:
    return _good_tar(json.dumps(MANIFEST).encode())


TARGETS: Final[dict[str, Target]] = {
    "configuration": Target(_configuration, _configurations),
    "manifest": Target(_manifest, lambda: [json.dumps(MANIFEST).encode(), b'[{"age_ms": 1.5}]']),
    "archive": Target(_zstd, lambda: [_compressed(_bundle_tar())]),
    "tar": Target(_tar, lambda: [_bundle_tar()]),
    "recording": Target(_recording, lambda: [events_file(rows())]),
    "rows": Target(_rows, lambda: [rows().tobytes()]),
    "redaction": Target(redaction.check, lambda: [b"mount -o username=u1,password=secret //s/d\n"]),
    "texts": Target(_texts, _text_seeds),
    "control": Target(_control, lambda: [b'{"command": "status"}\n', b'"status"\n']),
    "frames": Target(_frames, lambda: [b'{"type": "state", "bytes": 0}\n']),
    "ring": Target(_ring, _ring_seeds),
}
"""Targets by name."""
