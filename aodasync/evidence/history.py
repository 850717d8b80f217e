# SPDX-License-Identifier: MIT
"""The history of episodes: an append-only file of JSON lines, kept 90 days.

1. Each line is one record: ``began``, ``bundle`` or ``ended`` of an episode, or ``agent``
   (an agent started). Lines are appended and synced, so a crash costs at most the last one;
   a line that is not whole, or is nothing that is written here, is skipped.
2. An episode is known by ``id``: the agent's start in seconds, in hexadecimal, and the
   episode's number in that run; while the clock is not set, with the boot's id behind it.
   So ids do not repeat.
3. An episode without ``ended`` is open if its agent is the last one that started, and
   otherwise was cut off by that agent's end.
4. The file is bounded: at an agent's start, and when it has grown to :data:`MAX_BYTES`,
   records older than 90 days go, and of the rest the oldest until half is left. A record is
   no older than any before it: a clock that was set does not age what was written since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from aodasync.host import safe_files
from aodasync.host.untrusted_json import parse_json

__all__ = [
    "CLOCK_IS_SET_NS",
    "FILE",
    "MAX_BYTES",
    "PastEpisode",
    "append",
    "compact",
    "episodes",
    "read",
    "values_of",
]

FILE: Final = "history.jsonl"
MAX_BYTES: Final = 4 << 20
_NEW: Final = FILE + ".new"
CLOCK_IS_SET_NS: Final = 1_577_836_800 * 1_000_000_000
"""2020: a clock that shows an earlier time was not set since the host was switched on."""

_KEPT_NS: Final = 90 * 86_400 * 1_000_000_000
_MAX_LINE_BYTES: Final = 16_384
_MOST_LINES: Final = 100_000  # every other one is empty, and a record has some 300 bytes


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """An episode as the history has it; times are CLOCK_REALTIME in ns.

    ``ended_ns`` is None while it is open, or if its agent ended first (``cut_off``).
    ``who`` is that of the newest bundle's verdict, and so are cause and sentence.
    """

    id: str
    anomaly: str
    server: str
    began_ns: int
    ended_ns: int | None = None
    cut_off: bool = False
    emergency: bool = False
    commands: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    count: int = 0
    threshold_ms: float = 0.0
    worst_ms: float = 0.0
    usual_ms: float | None = None
    rule: str = ""
    suppressed: str = ""
    bundle: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    who: Mapping[str, Any] = field(default_factory=dict)
    next: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it still goes on, as far as the history knows."""
        return self.ended_ns is None and not self.cut_off

    def as_json(self) -> dict[str, Any]:
        """As ``aodasync history --json`` prints it."""
        return {**asdict(self), "open": self.open}


_FIELDS: Final = {f.name: f for f in fields(PastEpisode)}
_TUPLES: Final = frozenset({"commands", "codes", "next"})
_KINDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("id", "anomaly", "rule", "server", "suppressed", "bundle"), str),
    **dict.fromkeys(("began_ns", "ended_ns", "count"), int),
    **dict.fromkeys(("threshold_ms", "worst_ms", "usual_ms"), (int, float)),
    **dict.fromkeys(("emergency", "cut_off"), bool),
    **dict.fromkeys(("verdict", "who"), dict),
    **dict.fromkeys(_TUPLES, list),
}


def episodes(lines: Iterable[bytes]) -> tuple[PastEpisode, ...]:
    """The episodes in the lines of a history, oldest first. Pure; odd lines are skipped.

    Their order is that of the lines, which no step of the clock changes.
    """
    known: dict[str, dict[str, Any]] = {}
    agent = ""
    for line in lines:
        record = _parse(line)
        kind = record.get("record")
        if kind == "agent":
            agent = str(record.get("run", ""))
        elif kind in ("began", "bundle", "ended") and isinstance(record.get("id"), str):
            known.setdefault(record["id"], {}).update(values_of(record))
    found = []
    for values in known.values():
        if {"anomaly", "server", "began_ns"} <= values.keys():
            run = values["id"].partition("-")[0]
            cut_off = "ended_ns" not in values and run != agent
            found.append(PastEpisode(**{**values, "cut_off": cut_off}))
    return tuple(found)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = parse_json(line) if len(line) <= _MAX_LINE_BYTES else None
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def values_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a :class:`PastEpisode` in a record, those of the right type."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        kind = _KINDS.get(name)
        if kind is None or not isinstance(value, kind):
            continue
        if isinstance(value, bool) and kind is not bool:
            continue
        found[name] = tuple(str(item) for item in value) if name in _TUPLES else value
    return found


def append(directory_fd: int, record: Mapping[str, Any]) -> int:
    """Append one record and sync it; returns the file's size in bytes. Blocks.

    Raises:
        OSError: it could not be written.
    """
    line = json.dumps(record, default=str).encode("ascii")
    if len(line) >= _MAX_LINE_BYTES:
        line = json.dumps({k: v for k, v in record.items() if k != "who"}, default=str).encode()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(FILE, flags, safe_files.FILE_MODE, dir_fd=directory_fd)
    try:
        # A line that a crash cut off ends here: the new one must not be its second half.
        os.write(descriptor, b"\n" + line[:_MAX_LINE_BYTES] + b"\n")
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def read(directory: Path) -> tuple[PastEpisode, ...]:
    """The episodes of a history file; none where there is none. Blocks.

    Raises:
        OSError: it may not be read.
        ValueError: it is no regular file.
    """
    try:
        directory_fd = safe_files.open_directory(str(directory))
    except FileNotFoundError:
        return ()
    try:
        return episodes(_lines(directory_fd))
    finally:
        os.close(directory_fd)


def _lines(directory_fd: int) -> list[bytes]:
    try:
        descriptor = safe_files.open_regular(FILE, dir_fd=directory_fd)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        oldest, *lines = file.read(2 * MAX_BYTES).rsplit(b"\n", _MOST_LINES)
    return [line for line in (oldest, *lines) if line]


def _old(known: Iterable[PastEpisode], now_ns: int) -> set[str]:
    """The ids of episodes that are too old; never of one from before the clock was set."""
    found = set()
    latest_ns = 0
    for episode in known:
        latest_ns = max(latest_ns, episode.began_ns)
        is_dated = latest_ns >= CLOCK_IS_SET_NS or now_ns < CLOCK_IS_SET_NS
        if is_dated and latest_ns < now_ns - _KEPT_NS:
            found.add(episode.id)
    return found


def compact(directory_fd: int, *, now_ns: int) -> None:
    """Let what is too old go, and the oldest of what is too much: a new file, renamed. Blocks.

    ``now_ns`` is CLOCK_REALTIME; a clock that went back keeps what it cannot date.

    Raises:
        OSError: it could not be written; the file is as it was.
    """
    lines = _lines(directory_fd)
    old = _old(episodes(lines), now_ns)
    records = ((line, _parse(line)) for line in lines)
    kept = [line for line, record in records if record and str(record.get("id")) not in old]
    size_bytes = sum(len(line) + 2 for line in kept)
    first = 0
    while size_bytes > MAX_BYTES // 2:
        size_bytes -= len(kept[first]) + 2
        first += 1
    kept = kept[first:]
    if len(kept) == len(lines):
        return
    safe_files.remove(_NEW, dir_fd=directory_fd)
    with os.fdopen(safe_files.create(_NEW, dir_fd=directory_fd), "wb") as file:
        file.writelines(b"\n" + line + b"\n" for line in kept)
        file.flush()
        os.fsync(file.fileno())
    os.replace(_NEW, FILE, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    os.fsync(directory_fd)
