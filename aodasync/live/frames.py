# SPDX-License-Identifier: MIT
"""The stream of the control socket: its frames, encoded and decoded. Pure.

1. The reader sends one JSON line, a :class:`Subscription`. The agent answers with
   frames until the reader closes the connection.
2. A frame is one JSON line, the header, followed by ``bytes`` bytes of payload.
   ``type`` says what it is: ``hello`` (version, dtype), ``rows`` (requests that ended,
   and trouble events; payload: an array of the hello's dtype), ``state`` (a
   :data:`State` and, as payload, the requests in flight), ``error`` (the last one).
3. The stream is bounded. A reader that does not read is cut off: its connection closes
   after an ``error`` frame if there is room for one, without one otherwise. The agent
   counts such readers.

A reader ignores header keys and frame types that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeAlias

import numpy as np

from aodasync.events import EVENT, EventArray, Kind, pick
from aodasync.evidence.failures import failed, silent

__all__ = [
    "MAX_HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "VERSION",
    "Decoder",
    "Frame",
    "FrameError",
    "State",
    "Subscription",
    "encode",
    "hello",
    "state_frame",
    "wanted_rows",
]

VERSION: Final = 1
MAX_HEADER_BYTES: Final = 4 << 20
MAX_PAYLOAD_BYTES: Final = 16 << 20

State: TypeAlias = Mapping[str, Any]
"""What the agent knows besides rows: ``now_ns`` (CLOCK_MONOTONIC), ``connections``
(connection_id, server, address, port, credits), ``shares`` (session_id, tree_id, share),
``sockets`` (TCP_INFO figures by address), ``usual`` (server, command, median in ms),
``files`` (names, of the first requests in flight), ``episodes`` (the open ones),
``operations``, ``losses``, ``probe``, ``blind``."""


class FrameError(Exception):
    """The other side does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a reader asks for.

    ``min_ms`` and ``errors`` select rows: those that took at least ``min_ms``, and, with
    ``errors``, those that failed or got no response. ``rows`` False: states alone. With
    ``files`` the header of rows names the file of each.
    """

    rows: bool = True
    min_ms: float = 0.0
    errors: bool = False
    files: bool = False
    state_every_sec: float = 1.0
    version: int = VERSION

    def encode(self) -> bytes:
        """The request line."""
        return json.dumps({"command": "stream", **asdict(self)}).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> Subscription:
        """The subscription in a request.

        Raises:
            FrameError: a value has the wrong type or range, or the version is unknown.
        """
        given = {f.name: request[f.name] for f in fields(cls) if f.name in request}
        for name, value in given.items():
            expected = bool if name in ("rows", "errors", "files") else (int, float)
            if not isinstance(value, expected) or isinstance(value, bool) != (expected is bool):
                raise FrameError(f"{name}: expected {_words(expected)}, found {value!r:.40}")
        asked = cls(**given)
        if asked.version != VERSION:
            raise FrameError(f"version: expected {VERSION}, found {asked.version}")
        if not 0.1 <= asked.state_every_sec <= 3600 or not 0 <= asked.min_ms <= 86_400_000:
            raise FrameError("state_every_sec: expected 0.1 to 3600; min_ms: 0 to 86400000")
        return asked


def _words(expected: object) -> str:
    return "true or false" if expected is bool else "a number"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its header and its payload as rows (shape (N,), dtype EVENT)."""

    type: str
    header: Mapping[str, Any]
    rows: EventArray


def encode(kind: str, header: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    line = json.dumps({"type": kind, **header, "bytes": len(payload)}, default=str)
    return line.encode("ascii") + b"\n" + payload


def hello() -> bytes:
    """The first frame of a stream."""
    return encode("hello", {"version": VERSION, "dtype": EVENT.descr})


def state_frame(state: State, in_flight: EventArray) -> bytes:
    """A ``state`` frame; ``in_flight`` has shape (N,), dtype EVENT."""
    return encode("state", state, in_flight.tobytes())


def wanted_rows(rows: EventArray, asked: Subscription) -> EventArray:
    """The rows of a batch that a subscription selects; trouble events only without a filter."""
    if not asked.rows:
        return rows[:0]
    if asked.min_ms <= 0 and not asked.errors:
        return rows
    waited_ns = rows["released_ns"].astype(np.int64) - rows["issued_ns"].astype(np.int64)
    chosen = waited_ns >= asked.min_ms * 1e6
    if asked.errors:
        bad = failed(rows) | silent(rows)
        chosen = bad & chosen if asked.min_ms > 0 else bad
    chosen &= (rows["kind"] == int(Kind.REQUEST)) & (rows["issued_ns"] != 0)
    return pick(rows, chosen)


class Decoder:
    """Turns received bytes into frames; the dtype is the one that the agent's hello names."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._dtype = EVENT

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes in; the frames that are complete with them.

        Raises:
            FrameError: what was received is no frame, or larger than a frame may be.
        """
        self._data += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        end = self._data.find(b"\n")
        if end < 0:
            if len(self._data) > MAX_HEADER_BYTES:
                raise FrameError("no frame: a header without an end")
            return None
        try:
            header = json.loads(self._data[:end])
            kind, size_bytes = str(header["type"]), int(header["bytes"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise FrameError(f"no frame: {str(error)[:80]}") from None
        if not 0 <= size_bytes <= MAX_PAYLOAD_BYTES:
            raise FrameError(f"a frame of {size_bytes} bytes")
        if len(self._data) < end + 1 + size_bytes:
            return None
        payload = bytes(self._data[end + 1 : end + 1 + size_bytes])
        del self._data[: end + 1 + size_bytes]
        if kind == "hello":
            self._dtype = _dtype(header)
        return Frame(kind, header, self._rows(payload))

    def _rows(self, payload: bytes) -> EventArray:
        if len(payload) % self._dtype.itemsize:
            raise FrameError("a payload that is no whole number of rows")
        found = np.frombuffer(payload, self._dtype)
        if self._dtype == EVENT:
            return found
        rows: EventArray = np.zeros(len(found), EVENT)
        for name in EVENT.names or ():
            if name in (self._dtype.names or ()):
                try:
                    rows[name] = found[name]
                except (ValueError, TypeError) as error:
                    raise FrameError(f"rows of another kind: {str(error)[:80]}") from None
        return rows


def _dtype(header: Mapping[str, Any]) -> np.dtype[Any]:
    """The dtype that a hello describes; fields of another agent's version may differ."""
    try:
        dtype = np.dtype([(str(name), str(kind)) for name, kind in header["dtype"]])
    except (ValueError, TypeError, KeyError, OverflowError, SyntaxError) as error:
        raise FrameError(f"hello without a dtype: {str(error)[:80]}") from None
    if dtype.hasobject or dtype.itemsize == 0:
        raise FrameError("hello with a dtype that is none of rows")
    return dtype
