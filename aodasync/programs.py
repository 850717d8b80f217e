# SPDX-License-Identifier: MIT
"""What children are started with: where programs are found, and the leash they are put on."""

from __future__ import annotations

import functools
import shutil
import subprocess
from typing import Final

from aodasync.errors import RequirementError

__all__ = ["ENVIRONMENT", "leashed"]

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


def leashed(command: tuple[str, ...]) -> list[str]:
    """The command with its program resolved, behind setpriv(1). Looks at files: may block.

    A program given as a path is taken as it is: it may lie on the very mount that
    hangs, so the child alone looks at it.

    Raises:
        RequirementError: no such program.
    """
    program, *arguments = command
    if "/" not in program:
        path = shutil.which(program, path=ENVIRONMENT["PATH"])
        if path is None:
            raise RequirementError(f"{program} is not installed")
        program = path
    return [*_leash(), program, *arguments]


@functools.cache
def _leash() -> tuple[str, ...]:
    """The setpriv prefix, or nothing where it is absent or (busybox) lacks the option."""
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    if setpriv is None:
        return ()
    leash = (setpriv, "--pdeathsig", "KILL", "--")
    silent = subprocess.DEVNULL
    try:
        tried = subprocess.run(
            [*leash, "true"],
            env=ENVIRONMENT,
            stdin=silent,
            stdout=silent,
            stderr=silent,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return leash if tried.returncode == 0 else ()
