# SPDX-License-Identifier: MIT
"""Programs of another architecture run on this host, through binfmt_misc and QEMU's user mode."""

from pathlib import Path

from .architecture import Architecture
from .command import run
from .errors import LabError
from .hostpackages import ensure_tools

_FORMATS = Path("/proc/sys/fs/binfmt_misc")


def ensure_runnable(architecture: Architecture) -> None:
    """Have the kernel start the architecture's programs; as root, for this boot of the host.

    Debian's entry has the flag F: the kernel holds the emulator open, so that it is found in a
    chroot too.
    """
    if not architecture.runner:
        return
    ensure_tools(architecture.runner)
    entry = f"qemu-{architecture.wheels}"
    try:
        if not (_FORMATS / "register").exists():
            run(("mount", "-t", "binfmt_misc", "binfmt_misc", _FORMATS))
        if not (_FORMATS / entry).exists():
            run(("update-binfmts", "--enable", entry))
    except LabError as error:
        raise LabError(
            f"this host cannot run programs of {architecture.name}: {error.what}",
            hint=f"{_FORMATS} must be mounted, with {entry} in it",
        ) from error
