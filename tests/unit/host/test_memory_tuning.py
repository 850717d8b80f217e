# SPDX-License-Identifier: MIT
"""What keeps the agent small."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from aodasync.host.memory_tuning import stay_small
stay_small()
stay_small()
import asyncio, signal
import anyio.to_thread
import aodasync.agent

async def use():
    with anyio.move_on_after(5), anyio.open_signal_receiver(signal.SIGUSR1):
        await anyio.to_thread.run_sync(print, "a thread")
    child = await asyncio.create_subprocess_exec("echo", "a child")
    await child.wait()
    server = await asyncio.start_unix_server(lambda reader, writer: None, sys.argv[1])
    server.close()
    await server.wait_closed()
    print("a socket")

asyncio.run(use())
print("OpenSSL" if "_ssl" in sys.modules or "libssl" in open("/proc/self/maps").read() else "none")
"""


def run(program: str, *arguments: str) -> list[str]:
    """Lines that a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_other_c_libraries_are_left_alone() -> None:
    """One without mallopt is no error."""
    program = """
import ctypes
from types import SimpleNamespace
libc = ctypes.CDLL(None)
ctypes.CDLL = lambda name: SimpleNamespace()
from aodasync.host.memory_tuning import settle, stay_small
stay_small()
settle()
print("well")
"""
    assert run(program) == ["well"]


def test_collections_leave_out_what_start_up_made() -> None:
    """They do not get longer with what was imported before."""
    program = (
        "import asyncio, gc; from aodasync.host.memory_tuning import settle;"
        "settle(); print(len(gc.get_objects()) < 100)"
    )
    assert run(program) == ["True"]
