# SPDX-License-Identifier: MIT
"""A child that enters another network namespace: the agent itself never does.

A namespace is named by a process that is in it, or by a mount of it (``ip netns``).

``INODE COMMAND...`` executes the command in there. ``INODE DESCRIPTOR`` opens a
NETLINK_SOCK_DIAG socket, and passes it over the unix socket DESCRIPTOR: a netlink socket
belongs to the namespace that it was made in, and may be used from anywhere.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aodasync.host.capabilities import Capability

__all__ = ["ENTERING", "entering", "main", "named"]

ENTERING: Final = (Capability.SYS_ADMIN, Capability.SYS_PTRACE)
"""What such a child needs: for setns(2), and to look at the namespaces of processes."""

_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from aodasync.process.enter_netns import main; main()"
)
_CLONE_NEWNET: Final = 0x40000000
_NETLINK_SOCK_DIAG: Final = 4


def entering(inode: int, *arguments: str) -> tuple[str, ...]:
    """The argument vector of a child that enters the namespace of this inode number."""
    packages = str(Path(__file__).resolve().parents[2])
    return (sys.executable, "-I", "-S", "-c", _BOOTSTRAP, packages, str(inode), *arguments)


def named(inode: int, proc: Path = Path("/proc")) -> Iterator[str]:
    """Paths that name the network namespace of this inode number, mounts first."""
    name = f"net:[{inode}]"
    text = (proc / "self/mountinfo").read_bytes().decode(errors="surrogateescape")
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) > 4 and fields[3] == name:
            yield re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
    for process in proc.iterdir():
        path = process / "ns/net"
        try:
            if process.name.isdigit() and str(path.readlink()) == name:
                yield str(path)
        except OSError:  # it ended
            continue


def main() -> None:
    """Enter; then execute the command, or pass a socket on."""
    inode, arguments = int(sys.argv[2]), sys.argv[3:]
    _enter(inode)
    if not arguments[0].isdigit():
        os.execvp(arguments[0], arguments)  # noqa: S606  # an argument vector, no shell
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with (
        socket.socket(fileno=int(arguments[0])) as channel,
        socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as netlink,
    ):
        socket.send_fds(channel, [b"."], [netlink.fileno()])


def _enter(inode: int) -> None:
    """Enter the namespace; ends the process with a sentence where that cannot be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    error = "no process is in it, and nothing names it"
    for path in named(inode):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        if os.fstat(descriptor).st_ino != inode:  # covered by another mount, or gone
            continue
        if libc.setns(descriptor, _CLONE_NEWNET) == 0:
            return
        error = f"setns: {os.strerror(ctypes.get_errno())}"
    sys.exit(error)
