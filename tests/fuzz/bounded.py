# SPDX-License-Identifier: MIT
"""A function in a child that may take only so much time and memory."""

from __future__ import annotations

import math
import os
import resource
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["MEMORY_BYTES", "SECONDS", "run_bounded"]

SECONDS: Final = 20
"""The most processor time that anything may take with one input."""

_HANGS_SEC: Final = 240.0

MEMORY_BYTES: Final = 1 << 30
"""The most address space that it may add to the process."""


def run_bounded(
    function: Callable[[], str], *, seconds: int = SECONDS, memory_bytes: int = MEMORY_BYTES
) -> str:
    """What the function returns; the child is a fork, so arguments may be bound to it.

    Raises:
        AssertionError: it raised (the message is its traceback), took more processor time
            than ``seconds``, waits for something, or was killed.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's threads do nothing here
        child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(function, writing, seconds, memory_bytes)
    os.close(writing)
    said = None
    try:
        said = _all_of(reading, time.monotonic() + _HANGS_SEC)
    finally:
        os.close(reading)
        if said is None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said is None:
        raise AssertionError(f"it did not end within {_HANGS_SEC:g} s")
    good, _, text = said.decode("utf-8", "replace").partition("\n")
    if good != "good":
        over = f"it took more than {seconds} s" if os.WIFSIGNALED(status) else "it was killed"
        raise AssertionError(text or over)
    return text


def _all_of(descriptor: int, deadline: float) -> bytes | None:
    """What is written there until it is closed; None if it is not by then."""
    parts: list[bytes] = []
    while True:
        left_sec = deadline - time.monotonic()
        if left_sec <= 0 or not select.select([descriptor], [], [], left_sec)[0]:
            return None
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _be_child(
    function: Callable[[], str], descriptor: int, seconds: int, memory_bytes: int
) -> None:
    said = "bad\n"
    try:
        limit = _address_space_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        spent_sec = math.ceil(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent_sec + seconds, spent_sec + seconds + 1))
        said = f"good\n{function()}"
    except BaseException:  # noqa: BLE001  # whatever it is, the parent reports it
        said = f"bad\n{traceback.format_exc()}"
    finally:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(said.encode("utf-8", "replace"))
        os._exit(0)


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
