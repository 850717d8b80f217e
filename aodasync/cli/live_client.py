# SPDX-License-Identifier: MIT
"""Reading the running agent's live stream, from another process."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aodasync.errors import AgentUnreachableError, NotPermittedError
from aodasync.host.instance_lock import RUN_DIR, SOCKET_NAME
from aodasync.live.frames import Decoder, Frame, FrameError, Subscription

__all__ = ["LiveConnection", "connected"]

_CONNECT_SEC: Final = 5.0
_RECEIVE_BYTES: Final = 1 << 16
_SILENT_SEC: Final = 15.0


class LiveConnection:
    """A stream that was subscribed to; ``fileno`` is for those who wait for more than it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._decoder = Decoder()
        self._heard_sec = time.monotonic()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._channel.fileno()

    def frames(self, wait_sec: float) -> list[Frame]:
        """The frames that came within ``wait_sec``; as soon as there is one.

        Raises:
            AgentUnreachableError: the agent ended, refused, cut this reader off, or is silent.
        """
        readable, _, _ = select.select([self._channel], [], [], max(0.0, wait_sec))
        if not readable:
            if time.monotonic() - self._heard_sec > _SILENT_SEC:
                raise _lost("the agent sends nothing")
            return []
        try:
            data = self._channel.recv(_RECEIVE_BYTES)
            frames = list(self._decoder.feed(data))
        except (OSError, FrameError) as error:
            raise _lost(f"the agent's stream broke off ({error})") from None
        if not data:
            raise _lost("the agent closed the stream")
        self._heard_sec = time.monotonic()
        for frame in frames:
            if frame.type == "error":
                raise _lost(f"the agent refused: {frame.header.get('error')}")
        return frames


def _lost(what: str) -> AgentUnreachableError:
    return AgentUnreachableError(what, hint="look at its log: journalctl -u aodasync")


@contextmanager
def connected(asked: Subscription, *, run_dir: Path = RUN_DIR) -> Iterator[LiveConnection]:
    """Subscribe to the running agent's stream.

    Raises:
        NotPermittedError: the caller is neither root nor in ``control.group``.
        AgentUnreachableError: no agent runs, or it does not answer.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with channel:
        channel.settimeout(_CONNECT_SEC)
        try:
            channel.connect(str(run_dir / SOCKET_NAME))
            channel.sendall(asked.encode())
        except PermissionError as error:
            raise NotPermittedError(
                "only root and members of control.group may look at the agent", hint="sudo"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise AgentUnreachableError(
                "no agent is running", hint="start it: systemctl start aodasync, or sudo aodasync"
            ) from error
        except OSError as error:
            raise _lost(f"the agent does not answer ({error})") from error
        yield LiveConnection(channel)
