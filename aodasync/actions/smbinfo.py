# SPDX-License-Identifier: MIT
"""What the server says of each mounted share's root: ``smbinfo fileallinfo`` (cifs-utils).

The command opens the mount point and sends a QUERY_INFO (smbinfo(1)), so it
hangs when the mount does: one child a mount, each with a deadline. Of its other
commands, ``keys`` prints session keys and is never run.
"""

from __future__ import annotations

import asyncio
import io
import math
from typing import Final

import aiofiles
import anyio.to_thread

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.mounts import read_smb_mounts
from aodasync.errors import AodasyncError, RequirementError
from aodasync.mountinfo import Mount
from aodasync.programs import leashed

__all__ = ["SMBINFO", "ask_mounts"]

_ARGV: Final = ("smbinfo", "fileallinfo")
_MOST_MOUNTS: Final = 16
_AT_ONCE: Final = 4


async def _collect(context: ActionContext) -> Collected:
    mounts = await read_smb_mounts()
    if not mounts:
        return Collected(error="no SMB mounts")
    try:
        await anyio.to_thread.run_sync(leashed, _ARGV)
    except RequirementError as error:
        raise RequirementError(error.what, hint="install cifs-utils") from None
    return await ask_mounts(context, mounts, _ARGV)


async def ask_mounts(
    context: ActionContext, mounts: tuple[Mount, ...], argv: tuple[str, ...]
) -> Collected:
    """Run ``argv MOUNT_POINT`` for each mount, four at once, all within the action's deadline."""
    asked = mounts[:_MOST_MOUNTS]
    timeout_sec = context.timeout_sec / math.ceil(len(asked) / _AT_ONCE)
    max_bytes = context.max_bytes // len(asked)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(mount: Mount) -> tuple[Collected, bytes]:
        command = (*argv, mount.mount_point)
        title = f"==> {mount.source} on {mount.mount_point} <==\n".encode("utf-8", "replace")
        kept = io.BytesIO()
        room = max(0, max_bytes - len(title) - 1)
        async with slots:
            try:
                end = await context.children.run(
                    command, kept, timeout_sec=timeout_sec, max_bytes=room
                )
            except (AodasyncError, OSError) as error:
                return Collected(argv=command, error=str(error)), title
        result = Collected(
            argv=command,
            exit_code=end.exit_code,
            truncated=end.truncated,
            timed_out=end.timed_out,
            abandoned=end.abandoned,
            error=end.error,
        )
        return result, title + kept.getvalue() + b"\n"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(mount)) for mount in asked]
    answers = [task.result() for task in tasks]
    async with aiofiles.open(await context.create(), "wb") as file:
        await file.writelines(text for _, text in answers)
    return _sum_up([result for result, _ in answers], len(mounts))


def _sum_up(results: list[Collected], mounts: int) -> Collected:
    problems = [f"{result.argv[-1]}: {result.error}" for result in results if result.error]
    if mounts > len(results):
        problems.append(f"{mounts - len(results)} more mounts not asked")
    bad = [result.exit_code for result in results if result.exit_code != 0]
    return Collected(
        argv=results[0].argv if len(results) == 1 else (*_ARGV, "MOUNT_POINT"),
        exit_code=bad[0] if bad else 0,
        truncated=any(result.truncated for result in results),
        timed_out=any(result.timed_out for result in results),
        abandoned=any(result.abandoned for result in results),
        error="; ".join(problems),
    )


SMBINFO = Action("smbinfo", "smbinfo.log", Cost.MOUNT, _collect, argv=(*_ARGV, "MOUNT_POINT"))
