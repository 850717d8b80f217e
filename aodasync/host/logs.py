# SPDX-License-Identifier: MIT
"""Structured logs: JSON lines for journald, readable lines for a terminal.

Lines are written by a thread of their own: a reader of stdout that stalls must
not stall the event loop. What it cannot take in time is dropped and counted.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import sys
import threading
import time
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from aodasync.host.printable import PrintableStream, printable, wants_colour
from aodasync.host.systemd import is_journal

__all__ = ["LEVELS", "LineWriter", "configure", "dropped", "flush"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# What is read first comes first; the others stay in their order.
_FIRST: Final = ("timestamp", "level", "event", "anomaly", "episode", "server")

# Of syslog(3). The journal takes a line's priority from "<N>" before it (sd-daemon(3)).
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

_QUEUE_LINES = 10_000
_CLOSE_SEC = 2.0


class LineWriter:
    """A file-like object that hands lines to a thread; ``dropped`` counts what was lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUE_LINES)
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue text; never blocks."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Lines are flushed as they are written."""

    def close(self, timeout_sec: float = _CLOSE_SEC) -> None:
        """Write what is queued, for two seconds at most."""
        until_sec = time.monotonic() + timeout_sec
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=timeout_sec)
            self._thread.join(max(0.0, until_sec - time.monotonic()))

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._stream.write(text)
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped += 1


def _printable_values(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Fields without what would steer a terminal: names come from servers and processes."""
    return {key: printable(v) if isinstance(v, str) else v for key, v in fields.items()}


def _in_order(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Fields in the order in which people look for them."""
    first = {key: fields[key] for key in _FIRST if key in fields}
    return {**first, **fields}


class _WithPriority:
    """JSON with the priority before it, for the journal, which cuts that off."""

    def __init__(self) -> None:
        self._render = structlog.processors.JSONRenderer(default=str)

    def __call__(self, logger: WrappedLogger, method: str, fields: EventDict) -> str:
        priority = _PRIORITIES.get(str(fields.get("level")), 6)
        return f"<{priority}>{self._render(logger, method, fields)!s}"


_WRITERS: Final[list[LineWriter]] = []


def dropped() -> int:
    """Log lines that nobody took in time, since the start."""
    return sum(writer.dropped for writer in _WRITERS)


def flush(timeout_sec: float) -> None:
    """Write what is queued, for so long at most: the process is about to end."""
    for writer in _WRITERS:
        writer.close(timeout_sec)


def _goes_to_journal(out: TextIO) -> bool:
    try:
        return is_journal(out.fileno())
    except (OSError, ValueError):  # no file at all
        return False


def configure(*, level: str, fmt: str, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Set structlog up and return the root logger.

    ``fmt`` is ``json``, ``console``, or ``auto``: console on a terminal.
    """
    out = stream or sys.stdout
    if isinstance(out, PrintableStream):
        out = out.raw  # colours are escape sequences; what else there is goes below
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    writer = LineWriter(out)
    _WRITERS.append(writer)
    atexit.register(writer.close)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_order,
    ]
    if console:
        processors.append(_printable_values)
        processors.append(structlog.dev.ConsoleRenderer(colors=wants_colour(out)))
    else:
        processors.append(structlog.processors.format_exc_info)
        plain = structlog.processors.JSONRenderer(default=str)
        processors.append(_WithPriority() if _goes_to_journal(out) else plain)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    log: FilteringBoundLogger = structlog.get_logger(component="agent")
    return log
