# SPDX-License-Identifier: MIT
"""An exec that waits for a server holds a lock of its process: nothing of ours waits for it.

The exec closes a file that is close-on-exec, and the close waits for its flush. Until then
whoever reads ``stack``, ``wchan`` or ``stat`` of that process in /proc waits as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.unpacking import members
from tests.builders import archives, config
from tests.kernel.collecting import collect, collector, sampled_lag, trigger
from tests.kernel.frozen_mount import FLUSH, FrozenMount
from tests.unit.tasks.test_stack_reader import _Probe, _reader

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("adopting", "as_the_agent")]

_LAG_MS: Final = 20.0
_IN_TIME_SEC: Final = 10.0  # it is held for as long as the test likes
_EXEC: Final = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CLOEXEC)
print("opened", flush=True)
os.execv("/bin/sleep", ["sleep", "60"])
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[int, FrozenMount]]:
    """A process in such an exec, and the mount that it waits for."""
    point = tmp_path / "frozen"
    point.mkdir()
    with FrozenMount(point, FLUSH) as mount:
        argv = [sys.executable, "-I", "-S", "-c", _EXEC, str(point / "file")]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"opened\n"
        while not mount.hanging:
            time.sleep(0.001)
        yield process.pid, mount
        mount.thaw()
        process.kill()
        process.communicate()


def test_who_reads_its_stack_waits_for_the_server(hanging: tuple[int, FrozenMount]) -> None:
    """So it is on this kernel: what the other tests prove would be nothing otherwise."""
    pid, mount = hanging
    argv = ["cat", f"/proc/{pid}/stack"]
    reader = subprocess.Popen(argv, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        reader.wait(0.5)
    mount.thaw()
    printed, _ = reader.communicate(timeout=_IN_TIME_SEC)
    assert reader.returncode == 0
    until_sec = time.monotonic() + _IN_TIME_SEC
    while b"[<0>]" not in printed:  # of a process that runs just then, the stack is empty
        assert time.monotonic() < until_sec
        printed = subprocess.run(argv, capture_output=True, check=True, timeout=1).stdout


def _manifest(output: OutputDirectory) -> tuple[dict[str, Any], str]:
    (path,) = archives(output.batches)
    assert verify(path) == ()
    with members(path) as found:
        stacks = next(each.read(1 << 24) for each in found if each.name == "stacks.log")
    return read_manifest(path), stacks.decode()


async def test_a_bundle_is_written_meanwhile_and_the_loop_is_free(
    tmp_path: Path, hanging: tuple[int, FrozenMount]
) -> None:
    """It lacks that process's stack and says so; all others are there."""
    pid, mount = hanging
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        busy = collector(config(), output, waiting=pid)
        begun_sec = time.monotonic()
        async with sampled_lag() as lag:
            await collect(busy, trigger("stacks", "pressure", "mounts"))
        assert time.monotonic() - begun_sec < _IN_TIME_SEC
        assert mount.hanging == 1
        manifest, stacks = _manifest(output)
    entries = {entry["name"]: entry for entry in manifest["actions"]}
    assert entries["stacks"]["error"].startswith("1 stacks not read: a process holds a lock")
    assert (entries["pressure"]["error"], entries["mounts"]["error"]) == (None, None)
    assert f"==> tid {pid} <==\nnot read: its process holds a lock" in stacks
    assert lag.p99_ms < _LAG_MS
    assert max(lag.all_ms) < 1e3 * _IN_TIME_SEC / 20


async def test_what_operations_wait_for_is_read_meanwhile(
    hanging: tuple[int, FrozenMount],
) -> None:
    """Of every other thread; of that one nothing is known, and the loop is free."""
    pid, mount = hanging
    probe = _Probe(pid, os.getpid())
    reader = _reader(probe)
    begun_sec = time.monotonic()
    async with sampled_lag() as lag:
        await reader.look()
    assert time.monotonic() - begun_sec < _IN_TIME_SEC
    assert mount.hanging == 1
    ((_, stacks),) = probe.given
    assert stacks[pid] == ""
    assert stacks.keys() == {pid, os.getpid()}
    assert (reader.metrics.read, reader.metrics.hanging) == (1, 1)
    assert lag.p99_ms < _LAG_MS
