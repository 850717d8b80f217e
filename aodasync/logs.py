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
from typing import Final, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["LEVELS", "LineWriter", "configure"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

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

    def close(self) -> None:
        """Write what is queued, for two seconds at most."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=_CLOSE_SEC)
            self._thread.join(_CLOSE_SEC)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._stream.write(text)
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped += 1


def configure(*, level: str, fmt: str, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Set structlog up and return the root logger.

    ``fmt`` is ``json``, ``console``, or ``auto``: console on a terminal.
    """
    out = stream or sys.stdout
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    writer = LineWriter(out)
    atexit.register(writer.close)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty()))
    else:
        processors.append(structlog.processors.format_exc_info)
        processors.append(structlog.processors.JSONRenderer(default=str))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    log: FilteringBoundLogger = structlog.get_logger(component="agent")
    return log
