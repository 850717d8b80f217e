# SPDX-License-Identifier: MIT
"""The ends of the classic log files: /var/log/syslog (Debian), /var/log/messages (Red Hat)."""

from __future__ import annotations

import os
from typing import Final

import aiofiles
import anyio.to_thread

from aodasync import safe_files
from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.redaction import Redactor

__all__ = ["SYSLOGS"]

_FILES: Final = ("/var/log/syslog", "/var/log/messages")
_CHUNK_BYTES: Final = 256 * 1024


async def _collect(context: ActionContext) -> Collected:
    return await collect_tails(context, _FILES)


async def collect_tails(context: ActionContext, paths: tuple[str, ...]) -> Collected:
    """Copy the end of each file that exists, each within its share of the cap."""
    share = context.max_bytes // len(paths)
    problems = []
    truncated = False
    found = 0
    async with aiofiles.open(await context.create(), "wb") as out:
        for path in paths:
            try:
                descriptor = await anyio.to_thread.run_sync(safe_files.open_regular, path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problems.append(str(error))
                continue
            found += 1
            async with aiofiles.open(descriptor, "rb") as log:
                title = f"==> {path} <==\n".encode()
                await out.write(title)
                room = share - len(title) - 1
                size = os.fstat(descriptor).st_size
                if size > room:
                    truncated = True
                    await log.seek(size - room)
                    # Half a line could be the second half of a secret.
                    room -= len(await log.readline(max(room, 0)))
                redactor = Redactor()
                while room > 0 and (chunk := await log.read(min(room, _CHUNK_BYTES))):
                    await out.write(redactor.feed(chunk))
                    room -= len(chunk)
                await out.write(redactor.finish() + b"\n")
    if not found and not problems:
        problems.append(f"none of {', '.join(paths)} exists")
    return Collected(truncated=truncated, error="; ".join(problems))


SYSLOGS = Action("syslogs", "syslogs.log", Cost.LOG, _collect, path=", ".join(_FILES))
