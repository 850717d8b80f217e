# SPDX-License-Identifier: MIT
"""What came back from a machine: the script's exit status, and its files."""

import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from .command import run

_COMPLAINT = re.compile(rb"^.*(?:BUG:|Oops|general protection|Kernel panic).*$", re.MULTILINE)


def read_status(out_disk: Path) -> int | None:
    """Return the exit status on the disk, or None: the machine died before it wrote one."""
    try:
        with tarfile.open(out_disk, "r:") as archive:
            member = archive.extractfile("./status")
            return None if member is None else int(member.read())
    except (tarfile.ReadError, KeyError, ValueError):
        return None


def fetch_files(out_disk: Path, into: Path) -> None:
    """Copy the guest's ``$LAB_OUT`` into a directory, as the caller's own files."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        run(("tar", "-xf", out_disk, "-C", scratch, "--no-same-owner", "./out"))
        Path(scratch, "out").chmod(0o700)
        shutil.copytree(Path(scratch, "out"), into, symlinks=True, dirs_exist_ok=True)


def kernel_complaints(console: Path) -> list[str]:
    """Return the lines of a console log in which the kernel reports a fault of its own."""
    lines = _COMPLAINT.findall(console.read_bytes())
    return [line.decode(errors="replace").strip() for line in lines]


def console_tail(console: Path, lines: int = 40) -> str:
    """Return the last lines of a console log."""
    text = console.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])
