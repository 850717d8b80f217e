# SPDX-License-Identifier: MIT
"""All of a bundle, in memory: manifest, requests, texts. A bundle is untrusted; all is bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aodasync.bundle.archive import load_recording
from aodasync.bundle.unpacking import members
from aodasync.events import EventArray

__all__ = ["Content", "read_bundle"]

_MOST_TEXT_BYTES: Final = 512 * 1024
_MOST_FILE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """``rows`` has shape (N,), dtype EVENT; ``texts`` are the actions' files by name."""

    manifest: Mapping[str, Any]
    rows: EventArray
    in_flight: list[dict[str, Any]]
    texts: Mapping[str, str]


def read_bundle(path: Path) -> Content:
    """Read a bundle, or a recording in a directory.

    Raises:
        RecordingError: it has no manifest or no requests, or is not whole.
        BundleError: another file of it is not whole.
    """
    manifest, rows = load_recording(path)
    if path.is_dir():
        return Content(manifest, rows, [], {})
    texts: dict[str, str] = {}
    in_flight: list[dict[str, Any]] = []
    with members(path) as found:
        for member in found:
            if member.name == "inflight.json":
                in_flight = _objects(member.read(_MOST_FILE_BYTES))
            elif member.name not in ("manifest.json", "events.npy", "tcpdump.pcap"):
                texts[member.name] = _shortened(member.read(_MOST_FILE_BYTES))
    return Content(manifest, rows, in_flight, texts)


def _shortened(data: bytes) -> str:
    """The text, or its beginning and its end."""
    left_out = len(data) - _MOST_TEXT_BYTES
    if left_out > 0:
        half = _MOST_TEXT_BYTES // 2
        data = b"%s\n[... %d bytes only in the bundle ...]\n%s" % (
            *(data[:half], left_out),
            data[-half:],
        )
    return data.decode("utf-8", "replace")


def _objects(data: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
