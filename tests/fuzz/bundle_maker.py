# SPDX-License-Identifier: MIT
"""Bundles byte by byte, good ones and hostile ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import zstandard

from aodasync.events import EventArray
from tests.builders import MS, SECOND, request, requests

__all__ = ["BUNDLE", "MANIFEST", "archive", "bundle", "entry", "events_file", "rows", "zeros"]

BUNDLE: Final = "aod_quick_1700000000000000000_latency"
MANIFEST: Final[dict[str, Any]] = {
    "schema_version": 1,
    "bundle": BUNDLE,
    "host": "client",
    "live": True,
    "anomaly": {
        "name": "latency",
        "type": "latency",
        "server": "nas",
        "count": 4,
        "first_ns": 95 * SECOND,
        "threshold_ms": 10.0,
        "commands": ["SMB2_WRITE"],
        "codes": [],
    },
    "verdict": {"cause": "network", "sentence": "Segments were lost.", "evidence": {"lost": 7}},
    "collection": {
        "decided_monotonic_ns": 100 * SECOND,
        "decided_realtime_ns": 1700000000 * SECOND,
    },
    "actions": [{"name": "dmesg", "file": "dmesg.log", "bytes": 6, "argv": ["dmesg"]}],
    "events": {"count": 4, "first_ns": 96 * SECOND, "last_ns": 99 * SECOND},
    "losses": {"ring_full": 3},
    "connections": [{"connection_id": 1, "server": "nas", "address": "::1", "port": 445}],
    "shares": [{"session_id": "0x1", "tree_id": 7, "share": "//nas/data"}],
    "truncations": [{"file": "dmesg.log", "reason": "cut"}],
}


def rows() -> EventArray:
    """Four requests."""
    slow = (request(released_ns=n * SECOND, latency_ns=50 * MS) for n in range(96, 100))
    return requests(*slow)


def events_file(content: EventArray) -> bytes:
    """``events.npy``."""
    file = io.BytesIO()
    np.save(file, content, allow_pickle=False)
    return file.getvalue()


def entry(name: str, data: bytes = b"", *, size: int | None = None, kind: bytes = b"0") -> bytes:
    """A file of a tar: its header, its content, and padding to a block."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def archive(*entries: bytes) -> bytes:
    """A zstd frame of a tar of the entries."""
    content = b"".join([*entries, bytes(1024)])
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def bundle(manifest: Any = None, *, name: str = BUNDLE, **files: bytes) -> bytes:
    """A good bundle, but for the manifest and the files given; ``_`` in their names is a dot."""
    held: Mapping[str, bytes] = {
        "manifest.json": json.dumps(MANIFEST if manifest is None else manifest).encode(),
        "inflight.json": b"[]",
        "operations.json": b"[]",
        "dmesg.log": b"hello\n",
        "events.npy": events_file(rows()),
        **{key.replace("_", "."): data for key, data in files.items()},
    }
    return archive(*(entry(f"{name}/{file}", data) for file, data in held.items()))


def zeros(header: bytes, mebibytes: int) -> bytes:
    """A zstd frame of a header and many zeros, without holding them in memory."""
    compressor = zstandard.ZstdCompressor().compressobj()
    parts = [compressor.compress(header)]
    parts += [compressor.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join([*parts, compressor.flush()])
