# SPDX-License-Identifier: MIT
"""What keeps the agent small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
from aodasync.footprint import stay_small
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


def test_the_agent_works_without_openssl(tmp_path: Path) -> None:
    """All that it uses of asyncio and anyio works, and the library is not in the process."""
    assert run(_PROGRAM, f"{tmp_path}/socket") == ["a thread", "a child", "a socket", "none"]


def test_a_process_that_has_tls_keeps_it() -> None:
    """Where ssl was imported before, it stays what it is."""
    program = "import ssl; from aodasync.footprint import stay_small; stay_small(); import ssl as b"
    assert run(f"{program}; print(b.MemoryBIO.__name__)") == ["MemoryBIO"]


def test_other_c_libraries_are_left_alone() -> None:
    """One without mallopt is no error."""
    program = """
import ctypes
from types import SimpleNamespace
libc = ctypes.CDLL(None)
ctypes.CDLL = lambda name: SimpleNamespace(madvise=libc.madvise)
from aodasync.footprint import settle, stay_small
stay_small()
settle()
print("well")
"""
    assert run(program) == ["well"]


def test_pages_of_libraries_are_given_back_and_come_back() -> None:
    """Much less of the files is resident, and all that was imported still works."""
    program = """
import json, re
from pathlib import Path
import numpy as np
import aodasync.agent
from aodasync.footprint import settle
def resident_of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = resident_of_files()
settle()
print(resident_of_files() < 0.7 * before)
a = np.linalg.inv(np.eye(3) * 2)
print(json.dumps(np.sort(np.arange(5.0)[::-1]).tolist()), a[0, 0], re.sub("a", "b", "aa"))
"""
    assert run(program) == ["True", "[0.0, 1.0, 2.0, 3.0, 4.0] 0.5 bb"]


def test_collections_leave_out_what_start_up_made() -> None:
    """They do not get longer with what was imported before."""
    program = (
        "import asyncio, gc; from aodasync.footprint import settle;"
        "settle(); print(len(gc.get_objects()) < 100)"
    )
    assert run(program) == ["True"]


def test_work_apart_leaves_its_imports_behind() -> None:
    """The result comes back, the modules do not."""
    program = """
import sys
from pathlib import Path
from aodasync import config
from aodasync.footprint import apart
loaded = apart(lambda: config.load(config.default_path()))
print(loaded == config.load(config.default_path()) if "yaml" not in sys.modules else "yaml")
"""
    assert run(program) == ["True"]


def test_work_that_fails_apart_fails_here() -> None:
    """With the error that it has, told once, and no child left."""
    program = """
import os
from aodasync.footprint import apart
def work():
    raise OSError("no such luck")
try:
    apart(work)
except OSError as error:
    print(error)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    assert run(program) == ["no such luck", "no child"]


def test_the_agent_does_without_the_configurations_reader() -> None:
    """It needs the model alone."""
    program = "import sys, aodasync.agent; print({'yaml', 'argparse'} & set(sys.modules) or 'none')"
    assert run(program) == ["none"]
