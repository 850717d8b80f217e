# SPDX-License-Identifier: MIT
"""Which file each request is about: ids by request, names by CREATE and by id. Bounded.

A request bears the id of its file, which the response to a CREATE gave it; the name
stands in the CREATE alone. The parts of a compound have all ones for an id: that of the
CREATE before them, whose message id is the next lower one of their connection.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from aodasync.events import FILE_ID, EventArray, FileIdArray, Flag, pick

__all__ = ["MAX_REQUESTS", "NO_FILE", "NO_FILES", "File", "FileBook", "Opening"]

MAX_REQUESTS: Final = 20_000
"""Requests whose file ids are kept, 24 bytes each."""

_MAX_CREATES: Final = 4096  # with MAX_REQUESTS; with fewer requests, fewer
_LEAST_CREATES: Final = 256
_MAX_OPEN: Final = 2048
_MAX_CLOSED: Final = 1024
_RECENT: Final = 8192
_AT_ONCE: Final = 1024
_CREATE: Final = 5
_CLOSE: Final = 6
_COMPOUND: Final = int(Flag.COMPOUND)
_OF_CREATE: Final = (1 << 64) - 1
_COMPOUND_IDS: Final = 32  # a part may take several message ids (its credit charge)
_COMPOUND_NS: Final = 100_000_000
_FILED: Final = np.dtype([("request", "<u8"), *FILE_ID.descr])
_IDS: Final = FILE_ID.names or ()
_MIX: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

# A key and a value of each table are one bytes object each: half the memory of tuples of
# integers. Of a CREATE: connection id, message id; when it was issued, pid, and the file id
# that it was given, before its name. Of a file: session id, persistent and volatile id.
_CREATE_KEY: Final = struct.Struct("=QQ")
_CREATED: Final = struct.Struct("=QIQQ")
_FILE_ID_BYTES: Final = FILE_ID.itemsize
_FILE_ID_AT: Final = _CREATED.size - _FILE_ID_BYTES
_FILE_KEY: Final = struct.Struct("=QQQ")


class File(NamedTuple):
    """A file as its requests know it; the name, from the share's root on, may be unknown ("")."""

    name: str = ""
    persistent_id: int = 0
    volatile_id: int = 0


NO_FILE: Final = File()


class Opening(NamedTuple):
    """The name in a CREATE request, and the request by the fields of its row."""

    connection_id: int
    message_id: int
    issued_ns: int
    pid: int
    name: str


class _Asked(NamedTuple):
    connection_id: int
    message_id: int
    issued_ns: int
    pid: int
    session_id: int
    command: int
    flags: int
    file_id: tuple[int, int]


class _Create(NamedTuple):
    issued_ns: int
    pid: int
    persistent_id: int
    volatile_id: int
    name: str

    @classmethod
    def unpacked(cls, value: bytes) -> _Create:
        issued_ns, pid, persistent_id, volatile_id = _CREATED.unpack_from(value)
        return cls(issued_ns, pid, persistent_id, volatile_id, _text(value[_CREATED.size :]))


class FileBook:
    """Ids of the last ``max_requests`` requests that have one, and names of files.

    An open file keeps its name until too many others are open; that is counted in
    ``forgotten``. From any thread.
    """

    def __init__(self, max_requests: int = MAX_REQUESTS) -> None:
        self.forgotten = 0
        self._requests = np.zeros(max_requests, _FILED)
        self._noted = 0
        self._in_flight = np.zeros(0, _FILED)
        share = _MAX_CREATES * max_requests // MAX_REQUESTS
        self._max_creates = max(_LEAST_CREATES, share)
        self._creates: dict[bytes, bytes] = {}
        self._open: dict[bytes, bytes] = {}
        self._closed: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def opening(self, openings: Iterable[Opening]) -> None:
        """Take in CREATE requests; before their rows."""
        with self._lock:
            for connection_id, message_id, issued_ns, pid, name in openings:
                key = _CREATE_KEY.pack(connection_id, message_id)
                self._creates[key] = _CREATED.pack(issued_ns, pid, 0, 0) + _bytes(name)
            _trim(self._creates, self._max_creates)

    def ended(self, rows: EventArray, ids: FileIdArray) -> None:
        """Take in requests that ended, and the ids of their files: shape (N,) each."""
        # Quicker than any function of numpy where there are few.
        if ids.tobytes().count(0) == ids.nbytes or not len(self._requests):
            return
        at = np.flatnonzero(_has_id(ids))
        with self._lock:
            filed = _filed(rows, ids, at)[-len(self._requests) :]
            places = np.arange(self._noted, self._noted + len(filed)) % len(self._requests)
            self._requests[places] = filed
            self._noted += len(filed)
            commands = rows["command"][at]
            told = at[(commands == _CREATE) | (commands == _CLOSE)]
            # Keys of all at once, as lists: a row by itself takes microseconds to look at.
            rows, ids = pick(rows, told), ids[told]
            files = _joined(rows["session_id"], *(ids[name] for name in _IDS))
            creates = _joined(rows["connection_id"], rows["message_id"])
            issued = _joined(rows["issued_ns"])
            opened = (rows["command"] == _CREATE).tolist()
            compound = (rows["flags"] & _COMPOUND != 0).tolist()
            for file, is_create, *create in zip(
                files, opened, creates, issued, compound, strict=True
            ):
                if is_create:
                    self._opened(file, *create)
                else:
                    self._close(file)

    def waiting(self, rows: EventArray, ids: FileIdArray) -> None:
        """Take in the requests in flight, and the ids of their files, in place of the last ones."""
        with self._lock:
            if len(rows) or len(self._in_flight):
                self._in_flight = _filed(rows, ids, np.flatnonzero(_has_id(ids)))

    def of(self, rows: EventArray, *, recent: bool = False) -> list[File]:
        """The file of each row, shape (N,), :data:`NO_FILE` itself where none is known.

        ``recent``: look at the last requests alone.
        """
        found = [NO_FILE] * len(rows)
        shared = {NO_FILE: NO_FILE}
        with self._lock:
            ids = self._ids_of(rows, recent=recent)
            about = np.flatnonzero(_has_id(ids) | (rows["command"] == _CREATE))
            for start in range(0, len(about), _AT_ONCE):  # lists take ten times the memory
                at = about[start : start + _AT_ONCE]
                columns = [rows[name][at].tolist() for name in _Asked._fields[:-1]]
                asked = map(_Asked, *columns, ids[at].tolist())
                for place, file in zip(at.tolist(), map(self._file, asked), strict=True):
                    found[place] = shared.setdefault(file, file)
        return found

    def _file(self, asked: _Asked) -> File:
        if asked.command == _CREATE:
            create = self._create(asked.connection_id, asked.message_id)
            known = create is not None and create.issued_ns == asked.issued_ns
            return File(create.name if create and known else "", *asked.file_id)
        if asked.file_id == (_OF_CREATE, _OF_CREATE):
            return self._file_of_compound(asked) if asked.flags & _COMPOUND else NO_FILE
        if asked.file_id == (0, 0):
            return NO_FILE
        key = _FILE_KEY.pack(asked.session_id, *asked.file_id)
        name = self._open.get(key) or self._closed.get(key, b"")
        return File(_text(name), *asked.file_id)

    def _create(self, connection_id: int, message_id: int) -> _Create | None:
        value = self._creates.get(_CREATE_KEY.pack(connection_id, message_id))
        return None if value is None else _Create.unpacked(value)

    def _file_of_compound(self, asked: _Asked) -> File:
        for lower in range(1, min(_COMPOUND_IDS, asked.message_id) + 1):
            create = self._create(asked.connection_id, asked.message_id - lower)
            if create is not None:
                ago_ns = asked.issued_ns - create.issued_ns
                if create.pid != asked.pid or not 0 <= ago_ns < _COMPOUND_NS:
                    break
                return File(create.name, create.persistent_id, create.volatile_id)
        return NO_FILE

    def _opened(self, key: bytes, create_key: bytes, issued: bytes, in_compound: bool) -> None:  # noqa: FBT001  # of a row
        # A server may use an id again: for another file.
        self._open.pop(key, None)
        self._closed.pop(key, None)
        value = self._creates.get(create_key)
        if value is None or not value.startswith(issued):
            return
        name = value[_CREATED.size :]
        self._creates[create_key] = value[:_FILE_ID_AT] + key[-_FILE_ID_BYTES:] + name
        # In a compound it is closed as well, as a rule, under no id of its own.
        if in_compound:
            self._closed[key] = name
            _trim(self._closed, _MAX_CLOSED)
        else:
            self._open[key] = name
            self.forgotten += _trim(self._open, _MAX_OPEN)

    def _close(self, key: bytes) -> None:
        if (name := self._open.pop(key, None)) is not None:
            self._closed[key] = name
            _trim(self._closed, _MAX_CLOSED)

    def _ids_of(self, rows: EventArray, *, recent: bool) -> FileIdArray:
        ids = np.zeros(len(rows), FILE_ID)
        if not len(rows):
            return ids
        held = min(self._noted, len(self._requests))
        if not held and not len(self._in_flight):
            return ids
        requests = self._requests[:held]
        if recent and held > _RECENT:
            places = np.arange(self._noted - _RECENT, self._noted) % len(self._requests)
            requests = self._requests[places]
        asked = _requests(rows)
        order = np.argsort(asked)
        for table in (requests, self._in_flight):
            if len(table):
                at = np.searchsorted(asked, table["request"], sorter=order).clip(max=len(asked) - 1)
                found = asked[order[at]] == table["request"]
                for name in _IDS:
                    ids[name][order[at[found]]] = table[name][found]
        return ids


def _trim(table: dict[bytes, bytes], most: int) -> int:
    """Drop the oldest entries beyond the bound; how many.

    An eighth at a time: each time the first one is looked for, a dict goes over the places
    of those that were dropped before.
    """
    if len(table) <= most + most // 8:
        return 0
    oldest = list(islice(table, len(table) - most))
    for key in oldest:
        del table[key]
    return len(oldest)


def _joined(*columns: npt.NDArray[Any]) -> list[bytes]:
    """As ``struct.pack`` of the 64-bit integers in each row of ``columns``, of shape (N,)."""
    joined = np.stack(columns, axis=1).astype(np.uint64, copy=False)
    rows = joined.view(np.dtype((np.void, 8 * len(columns)))).ravel()
    return cast("list[bytes]", rows.tolist())


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _has_id(ids: FileIdArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = ids["persistent_id"] | ids["volatile_id"] != 0
    return found


def _filed(rows: EventArray, ids: FileIdArray, at: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    filed = np.empty(len(at), _FILED)
    filed["request"] = _requests(rows)[at]
    for name in _IDS:
        filed[name] = ids[name][at]
    return filed


def _requests(rows: EventArray) -> npt.NDArray[np.uint64]:
    """A number for each request: connection, message id, and time, since the two recur."""
    mixed: npt.NDArray[np.uint64] = rows["issued_ns"].astype(np.uint64)
    mixed += rows["message_id"] * _MIX[0]
    mixed += rows["connection_id"] * _MIX[1]
    return mixed


NO_FILES: Final = FileBook(0)
"""Nothing is known of any file."""
