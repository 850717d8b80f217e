# SPDX-License-Identifier: MIT
"""The ends of the classic log files: /var/log/syslog (Debian), /var/log/messages (Red Hat)."""

from __future__ import annotations

import os
from functools import partial
from typing import IO, Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.host import safe_files
from aodasync.host.threads import in_thread
from aodasync.privacy.redaction import LOOK_BACK_BYTES, CpuBudget, Redactor, pause

__all__ = ["SYSLOGS"]

_FILES: Final = ("/var/log/syslog", "/var/log/messages")
_CHUNK_BYTES: Final = 64 * 1024


async def _collect(context: ActionContext) -> Collected:
    return await collect_tails(context, _FILES)


async def collect_tails(context: ActionContext, paths: tuple[str, ...]) -> Collected:
    """Copy the end of each file that exists, each within its share of the cap.

    A worker thread reads, redacts and writes: anybody can log lines that take long to search.
    """
    budget = CpuBudget()
    copy = partial(_copy_tails, paths, context, budget)
    return await in_thread(copy, hurry=budget.stop)


def _copy_tails(paths: tuple[str, ...], context: ActionContext, budget: CpuBudget) -> Collected:
    share = context.max_bytes // len(paths)
    problems = []
    truncated = False
    found = 0
    with context.create() as out:
        for path in paths:
            try:
                descriptor = safe_files.open_regular(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problems.append(str(error))
                continue
            found += 1
            title = f"==> {path} <==\n".encode()
            out.write(title)
            redactor = Redactor(budget, between=pause)
            with os.fdopen(descriptor, "rb") as log:
                cut = _copy_tail(log, out, share - len(title) - 1, redactor)
            out.write(b"\n")
            truncated = truncated or cut
            if redactor.left_out_bytes:
                problems.append(
                    f"{path}: {redactor.left_out_bytes} bytes left out: "
                    "out of time to search them for secrets"
                )
    if not found and not problems:
        problems.append(f"none of {', '.join(paths)} exists")
    return Collected(truncated=truncated, error="; ".join(problems))


def _copy_tail(log: IO[bytes], out: IO[bytes], room: int, redactor: Redactor) -> bool:
    """Copy the last ``room`` bytes of a file, redacted; True if that is not all of it."""
    left = size = os.fstat(log.fileno()).st_size
    cut = size > room
    if cut:
        log.seek(max(0, size - room - LOOK_BACK_BYTES))
        left = min(room, size)
        redactor.feed(log.read(size - left - log.tell()))
        # Half a line could be the second half of a secret.
        line = log.readline(left)
        redactor.feed(line)
        left -= len(line)
    while left > 0 and (chunk := log.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        room -= _write(out, redactor.feed(chunk), room)
    _write(out, redactor.finish(), room)
    return cut or redactor.left_out_bytes > 0


def _write(out: IO[bytes], data: bytes, room: int) -> int:
    out.write(data[: max(0, room)])
    return len(data)


SYSLOGS = Action("syslogs", "syslogs.log", Cost.LOG, _collect, path=", ".join(_FILES))
