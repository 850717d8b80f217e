# SPDX-License-Identifier: MIT
"""NETLINK_SOCK_DIAG sockets in other network namespaces, each opened by a child.

1. An open one keeps its namespace alive: it is closed when no connection is found in there.
2. What could not be opened is tried again after 10 s, and each time after twice as long; at
   once when the namespace has a new connection.
3. Answers are read under a lock, and a socket that failed is closed: a late answer must
   not be taken for that of the next question.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aodasync.host.tcp_sockets import TcpSocket, TcpSockets
from aodasync.host.threads import in_thread
from aodasync.process.enter_netns import ENTERING, entering
from aodasync.process.launch import ENVIRONMENT, with_launcher

__all__ = ["NamespaceSockets"]

_DEADLINE_SEC: Final = 5.0  # of a tenth of a second: the host may be very busy
_FIRST_PAUSE_SEC: Final = 10.0
_LONGEST_PAUSE_SEC: Final = 640.0
_MOST: Final = 64


@dataclass(slots=True)
class _Namespace:
    connection: int  # the newest one
    sockets: TcpSockets
    netlink: socket.socket | None = None
    error: str = ""
    tries: int = 0
    next_sec: float = 0.0


class NamespaceSockets:
    """By inode number of the namespace."""

    def __init__(self) -> None:
        self._known: dict[int, _Namespace] = {}
        self._lock = threading.Lock()

    async def open(self, wanted: Mapping[int, int]) -> None:
        """Open those that are missing and due; ``wanted`` has the newest connection of each."""
        for inode, connection in wanted.items():
            known = self._known.get(inode)
            if known is None:
                if len(self._known) == _MOST:
                    self._forget(next(iter(self._known)))
                known = self._known[inode] = _Namespace(connection, TcpSockets())
            if connection > known.connection:
                known.connection, known.tries, known.next_sec = connection, 0, 0.0
            if known.netlink is None and time.monotonic() >= known.next_sec:
                await _open(inode, known)
                _pause(known)

    def read(self, inode: int, connections: Iterable[tuple[int, str, int]]) -> list[TcpSocket]:
        """Sockets of these connections (ids, and addresses and ports of the peers) in a namespace.

        Blocks, for 0.2 s a port at most.

        Raises:
            OSError: it is not open, with the reason, or the kernel does not answer.
        """
        with self._lock:
            known = self._known.get(inode)
            if known is None or known.netlink is None:
                reason = known.error if known is not None and known.error else "not open yet"
                raise OSError(f"network namespace {inode}: {reason}")
            try:
                found = known.sockets.read(connections, known.netlink)
            except OSError as error:
                _close(known, str(error))
                raise
            if not found:
                _close(known, "no socket of the client is in it")
            return found

    def close(self) -> None:
        """Close all of them."""
        for inode in list(self._known):
            self._forget(inode)

    def _forget(self, inode: int) -> None:
        with self._lock:
            _close(self._known.pop(inode), "")


def _pause(known: _Namespace) -> None:
    pause_sec = min(_LONGEST_PAUSE_SEC, _FIRST_PAUSE_SEC * 2.0**known.tries)
    known.tries += 1
    known.next_sec = time.monotonic() + pause_sec


def _close(known: _Namespace, error: str) -> None:
    if known.netlink is not None:
        known.netlink.close()
    known.netlink, known.error = None, error


async def _open(inode: int, known: _Namespace) -> None:
    """Have a child open the socket; ``error`` says why there is none."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        command = entering(inode, str(theirs.fileno()))
        argv = await in_thread(partial(with_launcher, command, ENTERING))
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_DEADLINE_SEC):
                _, said = await child.communicate()
        except TimeoutError:
            known.error = f"not entered within {_DEADLINE_SEC:g} s"
            return
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
        lines = said.decode(errors="replace").splitlines()
        known.error = lines[-1] if lines else f"the child ended with {child.returncode}"
        ours.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            for descriptor in descriptors:
                known.netlink, known.error = socket.socket(fileno=descriptor), ""
