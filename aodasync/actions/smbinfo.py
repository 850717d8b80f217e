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
from functools import partial
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import section
from aodasync.actions.mounts import read_smb_mounts
from aodasync.errors import AodasyncError, RequirementError
from aodasync.host import safe_files
from aodasync.host.capabilities import Capability
from aodasync.host.mountinfo import Mount
from aodasync.host.threads import in_thread
from aodasync.process.launch import with_launcher

__all__ = ["SMBINFO", "ask_mounts"]

_ARGV: Final = ("smbinfo", "fileallinfo")
_MOST_MOUNTS: Final = 16
_AT_ONCE: Final = 4


async def _collect(context: ActionContext) -> Collected:
    mounts = await read_smb_mounts()
    if not mounts:
        return Collected(error="no SMB mounts")
    try:
        await in_thread(partial(with_launcher, _ARGV), abandon=True)
    except RequirementError as error:
        raise RequirementError(error.what, hint="install cifs-utils") from None
    return await ask_mounts(context, mounts, _ARGV)


async def ask_mounts(
    context: ActionContext, mounts: tuple[Mount, ...], argv: tuple[str, ...]
) -> Collected:
    """Run ``argv MOUNT_POINT`` for each mount, four at once, all within the action's deadline.

    Those of the anomaly's server are asked first.
    """
    asked = sorted(mounts, key=lambda mount: _server(mount) not in context.servers)[:_MOST_MOUNTS]
    timeout_sec = context.timeout_sec / math.ceil(len(asked) / _AT_ONCE)
    max_bytes = context.max_bytes // len(asked)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(mount: Mount) -> tuple[Collected, bytes]:
        command = (*argv, mount.mount_point)
        title = section(f"{mount.source} on {mount.mount_point}", "").encode("utf-8", "replace")
        kept = io.BytesIO()
        room = max(0, max_bytes - len(title) - 1)
        async with slots:
            try:
                end = await context.children.run(
                    command,
                    kept,
                    timeout_sec=timeout_sec,
                    max_bytes=room,
                    capabilities=(Capability.DAC_READ_SEARCH,),
                )
            except (AodasyncError, OSError) as error:
                return Collected(argv=command, error=str(error)), title
        return Collected.of(command, end), title + kept.getvalue() + b"\n"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(mount)) for mount in asked]
    answers = [task.result() for task in tasks]
    data = b"".join(text for _, text in answers)
    await in_thread(partial(safe_files.write, context.file, data, dir_fd=context.directory_fd))
    return _sum_up([result for result, _ in answers], len(mounts))


def _server(mount: Mount) -> str:
    return mount.source.replace("\\", "/").strip("/").partition("/")[0].casefold()


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
