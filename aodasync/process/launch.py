# SPDX-License-Identifier: MIT
"""What children are started through: their environment, and a launcher that execs them."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Collection
from typing import Final

from aodasync.errors import RequirementError
from aodasync.host.capabilities import Capability

__all__ = ["ENVIRONMENT", "with_launcher"]

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}

_SETPRIV: Final = ("--pdeathsig", "KILL", "--no-new-privs")

# The same as setpriv, 15 ms slower: prctl with PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS and
# PR_CAPBSET_DROP, then exec.
_OWN_LAUNCHER: Final = """
import os, sys
try:
    import ctypes
    prctl = ctypes.CDLL(None).prctl
    prctl(1, 9)
    prctl(38, 1, 0, 0, 0)
    left = sys.argv[1].split(",")
    for number in range(64 if "-all" in left else 0):
        if f"+cap_{number}" not in left:
            prctl(24, number, 0, 0, 0)
except (ImportError, OSError):
    pass
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""


def with_launcher(
    command: tuple[str, ...], capabilities: Collection[Capability] | None = ()
) -> list[str]:
    """The command with its program resolved, behind a launcher. Looks at files: may block.

    The launcher is local, sets the signal that a child gets when the agent dies, leaves it
    these ``capabilities`` (None: all that the agent kept), and then execs the program. Who
    starts it waits for the launcher's exec alone: the program may lie on the very mount
    that hangs. So one given as a path is taken as it is.

    Raises:
        RequirementError: no such program.
    """
    program, *arguments = command
    if "/" not in program:
        path = shutil.which(program, path=ENVIRONMENT["PATH"])
        if path is None:
            raise RequirementError(f"{program} is not installed")
        program = path
    return [*_launcher(capabilities), program, *arguments]


def _launcher(capabilities: Collection[Capability] | None) -> tuple[str, ...]:
    """setpriv(1), or this interpreter.

    Where the bounding set may not be changed, a child has what the agent kept.
    """
    # By number: older libraries do not know every name.
    left = ",".join(("-all", *(f"+cap_{number:d}" for number in sorted(capabilities or ()))))
    if capabilities is None:
        left = "+all"
    setpriv, bounds = _setpriv()
    if not setpriv:
        return (sys.executable, "-I", "-S", "-c", _OWN_LAUNCHER, left)
    bounding = ("--bounding-set", left) if bounds and capabilities is not None else ()
    return (setpriv, *_SETPRIV, *bounding, "--")


@functools.cache
def _setpriv() -> tuple[str, bool]:
    """Where setpriv(1) is, and whether it may change the bounding set.

    Empty where it is absent or, as busybox's, lacks the options.
    """
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    if setpriv is None:
        return "", False
    if _works((setpriv, *_SETPRIV, "--bounding-set", "-all", "--", "true")):
        return setpriv, True
    return (setpriv, False) if _works((setpriv, *_SETPRIV, "--", "true")) else ("", False)


def _works(argv: tuple[str, ...]) -> bool:
    silent = subprocess.DEVNULL
    try:
        done = subprocess.run(
            argv,
            env=ENVIRONMENT,
            stdin=silent,
            stdout=silent,
            stderr=silent,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
