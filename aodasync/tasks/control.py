# SPDX-License-Identifier: MIT
"""The control socket: one JSON object in, one out, a line each.

It stands in /run/aodasync, which only root may enter, and is itself 0600.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from structlog.typing import FilteringBoundLogger

__all__ = ["SOCKET_NAME", "Control", "Handler"]

SOCKET_NAME = "control.sock"
_MAX_REQUEST_BYTES = 4096
_REQUEST_SEC = 5.0

Handler: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]


class Control:
    """Serves ``handlers`` by the name in a request's ``command``."""

    def __init__(
        self, run_dir: Path, handlers: Mapping[str, Handler], log: FilteringBoundLogger
    ) -> None:
        self._path = run_dir / SOCKET_NAME
        self._handlers = handlers
        self._log = log.bind(component="control")

    async def run(self) -> None:
        """Serve until cancelled; the socket goes with it."""
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            self._serve, self._path, limit=_MAX_REQUEST_BYTES, start_serving=False
        )
        self._path.chmod(0o600)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SEC):
                request = await reader.readline()
            answer = await self._answer(request)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError) as error:
            self._log.debug("control_request_dropped", error=str(error))
        finally:
            writer.close()

    async def _answer(self, request: bytes) -> Mapping[str, Any]:
        asked = json.loads(request)
        command = asked.get("command") if isinstance(asked, dict) else asked
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            return {"error": f"unknown command {command!r}"}
        return await handler()
