# SPDX-License-Identifier: MIT
"""Child processes and progress lines."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .errors import LabError

# depmod and modprobe live in sbin, which is not on an ordinary user's PATH.
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def isolated() -> tuple[str, ...]:
    """Return a command prefix for children in namespaces of their own.

    When they end, or the lab does, however it ends, no process and no mount is left. In a
    chroot whose root is no mount point the kernel refuses a private mount namespace
    (MS_PRIVATE on "/": EINVAL); there, a lab that is killed may leave a mount behind.
    """
    leash = ("setpriv", "--pdeathsig", "KILL")
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    if not any(line.split()[4] == "/" for line in mounts):
        return leash
    return (*leash, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def remove_tree(path: Path) -> None:
    """Remove a directory, but nothing of what may still be mounted in it."""
    subprocess.run(("rm", "-rf", "--one-file-system", path), check=False)


def say(line: str) -> None:
    """Print one progress line on stderr; stdout belongs to the guest."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


def find_tool(name: str) -> str | None:
    """Return the path of a host tool, or None."""
    return shutil.which(name, path=SEARCH_PATH)


def missing_tools(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that this host does not have."""
    return [name for name in names if find_tool(name) is None]


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a command to its end and return its stdout; its output's tail is the error."""
    environment = dict(os.environ if env is None else env)
    environment.setdefault("PATH", os.defpath)
    environment["PATH"] = os.pathsep.join((environment["PATH"], "/usr/sbin", "/sbin"))
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed") from error
    if done.returncode != 0:
        tail = (done.stderr.strip() or done.stdout.strip()).splitlines()[-12:]
        raise LabError(
            f"{Path(argv[0]).name} failed with status {done.returncode}: " + " | ".join(tail)
        )
    return done.stdout


def make_squashfs(source: Path, image: Path) -> None:
    """Pack the tree ``source`` into ``image``; lz4, which is the quickest to read under TCG."""
    options = ["-comp", "lz4", "-noappend", "-no-progress", "-quiet"]
    if os.geteuid() != 0:
        options.append("-all-root")
    run(("mksquashfs", source, image, *options))
