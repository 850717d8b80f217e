# SPDX-License-Identifier: MIT
"""Names of files, as the kernel side took them out of CREATE requests."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.file_book import Opening
from aodasync.probes.records import FILE_NAME
from aodasync.probes.ring import RingReader
from aodasync.probes.shared import NAME_RING_BYTES

__all__ = ["NAME_MAX_BYTES", "ROOT", "NameRing", "file_name"]

NAME_MAX_BYTES: Final = 200
"""Of a name in UTF-8; the end of a longer one is kept, as of one over 127 characters."""

ROOT: Final = "."
"""The name of a share's root, which has none on the wire."""

_CUT: Final = ".../"
_AT_ONCE: Final = 4096


class NameRing:
    """Reads the ring of names."""

    def __init__(self, map_fd: int) -> None:
        self._ring = RingReader.of_map(map_fd, NAME_RING_BYTES, row=FILE_NAME, beside=None)

    def read(self) -> list[Opening]:
        """The CREATE requests since the last time, oldest first."""
        if self._ring.is_empty:
            return []
        names = self._ring.read(_AT_ONCE)
        columns = [names[name].tolist() for name in FILE_NAME.names or ()]
        return [
            Opening(connection_id, message_id, issued_ns, pid, file_name(text, size))
            for issued_ns, message_id, connection_id, pid, size, text in zip(*columns, strict=True)
        ]

    def close(self) -> None:
        """Unmap."""
        self._ring.close()


def file_name(text: bytes, whole_bytes: int) -> str:
    """A name with slashes, from UTF-16 of which the beginning may be missing."""
    if not whole_bytes:
        return ROOT
    held = len(text) - 2
    name = text[: min(whole_bytes, held)].decode("utf-16-le", "replace").replace("\\", "/")
    encoded = name.encode("utf-8", "replace")
    if whole_bytes <= held and len(encoded) <= NAME_MAX_BYTES:
        return name
    tail = encoded[-(NAME_MAX_BYTES - len(_CUT)) :].decode("utf-8", "ignore")
    # Whole components, unless the last one alone is too long.
    return _CUT + (tail.partition("/")[2] or tail)
