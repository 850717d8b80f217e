# SPDX-License-Identifier: MIT
"""The control socket: one JSON object in, one out, a line each.

It stands in /run/aodasync, which only root may enter, and is itself 0600. With a group, its
members may connect as well, and ask for what changes nothing. When somebody removes it,
it is made anew within a second, and within ten while no request comes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from structlog.typing import FilteringBoundLogger

from aodasync.host.capabilities import as_group
from aodasync.host.instance_lock import SOCKET_NAME
from aodasync.host.peers import gid_of, peer_uid
from aodasync.host.threads import in_thread
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["MAX_ANSWER_BYTES", "SOCKET_NAME", "ControlServer", "Handler"]

_MAX_REQUEST_BYTES = 4096
MAX_ANSWER_BYTES = 4 << 20
_MOST_CLIENTS = 128
_REQUEST_SEC = 5.0
_LOOK_SEC = 1.0
_SILENT_LOOK_SEC = 10.0
_FOR_THE_GROUP = ("status", "metrics", "stream")

Handler: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Stream: TypeAlias = Callable[
    [Mapping[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]
]


class ControlServer:
    """Serves ``handlers`` by the name in a request's ``command``; ``stream`` is one more.

    Members of ``group`` ("": nobody) get what only reads.
    """

    def __init__(
        self,
        run_dir: Path,
        handlers: Mapping[str, Handler],
        log: FilteringBoundLogger,
        stream: Stream | None = None,
        *,
        group: str = "",
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self._path = run_dir / SOCKET_NAME
        self._handlers = handlers
        self._stream = stream
        self._group = group
        self._clients = 0
        self._log = log.bind(component="control")

    async def run(self) -> None:
        """Serve until cancelled; the socket goes with it."""
        gid = await self._gid()
        while True:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._admit(self._path.parent, gid, 0o700, 0o710)
            server = await asyncio.start_unix_server(
                self._serve, self._path, limit=_MAX_REQUEST_BYTES, start_serving=False
            )
            self._admit(self._path, gid, 0o600, 0o660)
            try:
                async with server:
                    await server.start_serving()
                    await self._while_it_is_there(self._path.lstat().st_ino)
            except FileNotFoundError:
                pass
            finally:
                self._path.unlink(missing_ok=True)
            self._log.warning("control_socket_removed", path=str(self._path))

    async def _gid(self) -> int | None:
        """The group's number; None, and logged, if it has none."""
        if not self._group:
            return None
        gid = await in_thread(partial(gid_of, self._group))
        if gid is None:
            self._log.warning(
                "control_group_refused", group=self._group, error="there is no such group"
            )
        return gid

    def _admit(self, path: Path, gid: int | None, alone: int, together: int) -> None:
        """Give a path the mode for its owner ``alone``, or for the group, too."""
        path.chmod(alone)
        if gid is None:
            return
        try:
            with as_group(gid):
                os.chown(path, -1, gid)
            path.chmod(together)
        except OSError as error:
            self._log.warning("control_group_refused", group=self._group, error=str(error))

    async def _while_it_is_there(self, inode: int) -> None:
        """Return once the socket's path leads elsewhere; FileNotFoundError, nowhere."""
        while self._path.lstat().st_ino == inode:
            await self._beat(_LOOK_SEC, _SILENT_LOOK_SEC)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > _MOST_CLIENTS:
                await self._send(writer, {"error": f"{_MOST_CLIENTS} clients are connected"})
                return
            async with asyncio.timeout(_REQUEST_SEC):
                request = await reader.readline()
            asked = json.loads(request)
            if _command(asked) not in _FOR_THE_GROUP and not _is_root(writer):
                await self._send(writer, {"error": "that is for root alone", "denied": True})
                return
            if self._stream is not None and _command(asked) == "stream":
                await self._stream(asked, reader, writer)
                return
            await self._send(writer, await self._answer(asked))
        except (OSError, TimeoutError, ValueError, RecursionError) as error:
            self._log.debug("control_request_dropped", error=str(error))
        except Exception as error:  # noqa: BLE001  # a defect costs one client its answer
            self._log.error("control_request_failed", error=f"{type(error).__name__}: {error}")
        finally:
            writer.close()
            try:
                await self._flushed(writer)
            finally:
                self._clients -= 1

    async def _flushed(self, writer: asyncio.StreamWriter) -> None:
        """What was written may go: a client that does not take it would be open for ever."""
        try:
            async with asyncio.timeout(_REQUEST_SEC):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass
        finally:
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
        line = json.dumps(answer, default=str).encode() + b"\n"
        if len(line) > MAX_ANSWER_BYTES:
            line = json.dumps({"error": f"the answer has {len(line)} bytes"}).encode() + b"\n"
        writer.write(line)
        async with asyncio.timeout(_REQUEST_SEC):
            await writer.drain()

    async def _answer(self, asked: Any) -> Mapping[str, Any]:
        command = _command(asked)
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            return {"error": f"unknown command {str(command)[:64]!r}"}
        try:
            return await handler()
        except Exception as error:  # noqa: BLE001  # a defect is for the log and the client
            self._log.error(
                "control_request_failed", command=command, error=f"{type(error).__name__}: {error}"
            )
            return {"error": f"{command} failed: {error}"}


def _is_root(writer: asyncio.StreamWriter) -> bool:
    return peer_uid(writer.get_extra_info("socket")) in (0, os.geteuid())


def _command(asked: Any) -> Any:
    return asked.get("command") if isinstance(asked, dict) else asked
