# SPDX-License-Identifier: MIT
"""The cifs module: its version, the checksum of its source, its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.kernel_files import read_small
from aodasync.host.threads import in_thread

__all__ = ["MODULE"]

_PATH: Final = "/sys/module/cifs"


async def _collect(context: ActionContext) -> Collected:
    text = await in_thread(_read, abandon=True)
    return Collected(truncated=await context.write(text))


def _read() -> str:
    """One ``name: value`` a line; a parameter that cannot be read says why.

    Raises:
        OSError: the module is not loaded.
    """
    names = sorted(f"parameters/{file.name}" for file in Path(_PATH, "parameters").iterdir())
    lines = []
    for name in ("version", "srcversion", "taint", "refcnt", *names):
        try:
            value = read_small(f"{_PATH}/{name}").strip()
        except OSError as error:
            value = f"({str(error.strerror).lower()})"
        lines.append(f"{name.removeprefix('parameters/')}: {value}\n")
    return "".join(lines)


MODULE = Action("module", "module.log", Cost.TABLE, _collect, path=_PATH)
