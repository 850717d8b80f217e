# SPDX-License-Identifier: MIT
"""TCP figures come from the network namespace of the socket, and keep no namespace alive."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aodasync.process.children import Children
from aodasync.process.enter_netns import ENTERING, entering
from aodasync.process.netns_sockets import NamespaceSockets

pytestmark = pytest.mark.anyio

_TALKS = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 445))
client = socket.create_connection(("127.0.0.1", 445))
print("ready", flush=True)
for line in sys.stdin:
    client.close()
    print("closed", flush=True)
"""


@pytest.fixture
def elsewhere() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a connection to 127.0.0.1:445 in a namespace of its own, and its inode."""
    argv = ["unshare", "--net", sys.executable, "-c", _TALKS]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process, Path(f"/proc/{process.pid}/ns/net").stat().st_ino
        process.kill()


async def test_a_socket_is_found_in_its_own_namespace(
    elsewhere: tuple[subprocess.Popen[str], int],
) -> None:
    """With its figures; when it is closed, nothing of ours holds the namespace."""
    process, inode = elsewhere
    sockets = NamespaceSockets()
    await sockets.open({inode: 1})
    (found,) = sockets.read(inode, [(1, "127.0.0.1", 445)])
    assert found.established
    assert found.rtt_ms > 0
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "closed\n"
    assert [each.established for each in sockets.read(inode, [(1, "127.0.0.1", 445)])] in (
        [False],
        [],
    )
    assert sockets.read(inode, [(1, "127.0.0.2", 445)]) == []
    with pytest.raises(OSError, match="no socket of the client is in it"):
        sockets.read(inode, [(1, "127.0.0.1", 445)])


async def test_a_command_runs_in_another_namespace(
    elsewhere: tuple[subprocess.Popen[str], int],
) -> None:
    """What it prints is that namespace's."""
    _, inode = elsewhere
    printed = io.BytesIO()
    argv = entering(inode, "ss", "-tn")
    end = await Children().run(
        argv, printed, timeout_sec=10, max_bytes=1 << 16, capabilities=ENTERING
    )
    assert end.error == ""
    assert b"127.0.0.1:445" in printed.getvalue()
