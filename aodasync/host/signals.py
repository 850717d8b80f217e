# SPDX-License-Identifier: MIT
"""Signals: what they mean to the agent, from its first moment to its last.

Most signals end a process that does not handle them. Those that mean nothing here get a
handler that does nothing: unlike SIG_IGN it is not inherited by children. Until it is
known whether the process is an agent at all, they wait: importing takes a third of a second.
This module itself imports next to nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["handle", "hold", "release", "survive"]

_STRAY: Final = ("HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT")


def hold() -> None:
    """Have stray signals wait until :func:`release` or :func:`survive`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(_stray()))


def release() -> None:
    """Let them do what they do to any process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_stray()))


def survive() -> None:
    """From now on no signal ends the process that is not meant to."""
    for number in _stray():
        signal.signal(number, _nothing)
    release()


def handle(
    loop: AbstractEventLoop, handlers: Mapping[signal.Signals, Callable[[], object]]
) -> None:
    """Call these from the loop, for as long as it lives."""
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)


def _stray() -> Iterator[int]:
    for name in _STRAY:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None:
            yield number
    yield from range(signal.SIGRTMIN, signal.SIGRTMAX + 1)


def _nothing(_number: int, _frame: Any) -> None:
    """Be interrupted, and go on."""
