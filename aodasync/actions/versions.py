# SPDX-License-Identifier: MIT
"""What runs here: kernel, distribution, and the helpers that mounts and logins rest on."""

from __future__ import annotations

import asyncio
import io
import os
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import read_small, section
from aodasync.errors import RequirementError
from aodasync.host.threads import in_thread

__all__ = ["VERSIONS"]

_TOOLS: Final = (("mount.cifs", "-V"), ("keyctl", "--version"))
_TOOL_SEC: Final = 2.0
_TOOL_BYTES: Final = 4096


async def _collect(context: ActionContext) -> Collected:
    said = await asyncio.gather(*(_ask(context, argv) for argv in _TOOLS))
    kernel = " ".join(os.uname())
    distribution = await in_thread(_distribution, abandon=True)
    tools = "".join(section(" ".join(argv), text) for argv, text in zip(_TOOLS, said, strict=True))
    text = section("uname", kernel) + section("os-release", distribution) + tools
    return Collected(truncated=await context.write(text))


def _distribution() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):  # os-release(5)
        try:
            return read_small(path)
        except OSError:
            continue
    return "unknown\n"


async def _ask(context: ActionContext, argv: tuple[str, ...]) -> str:
    """What a tool says of its version, or why it does not: that is an answer, too."""
    kept = io.BytesIO()
    timeout_sec = min(_TOOL_SEC, context.timeout_sec)
    try:
        end = await context.children.run(argv, kept, timeout_sec=timeout_sec, max_bytes=_TOOL_BYTES)
    except (RequirementError, OSError) as error:
        return str(error)
    return kept.getvalue().decode("utf-8", "replace") or end.error


VERSIONS = Action(
    "versions",
    "versions.log",
    Cost.COMMAND,
    _collect,
    path="/etc/os-release, mount.cifs -V, keyctl --version",
)
