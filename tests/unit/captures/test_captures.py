# SPDX-License-Identifier: MIT
"""What bundles get of captures that always run; the tools are stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from aodasync.actions import ActionContext
from aodasync.captures import CaptureSettings
from aodasync.captures import tcpdump as module
from aodasync.captures.tcpdump import Tcpdump
from aodasync.captures.trace_cmd import TraceCmd
from aodasync.host.threads import in_thread
from aodasync.process import launch
from aodasync.process.children import Children
from tests.unit.captures.test_pcap import savefile

pytestmark = pytest.mark.anyio

Tool = Callable[[str, str], None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a shell script of that name before all other programs."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    path = f"{bin_dir}:{launch.ENVIRONMENT['PATH']}"
    monkeypatch.setitem(launch.ENVIRONMENT, "PATH", path)

    def install(name: str, script: str) -> None:
        (bin_dir / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_dir / name).chmod(0o755)

    return install


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HAND_OVER_SEC", 0.05)


def _appear(sign: Path) -> None:
    while not sign.exists():
        time.sleep(0.01)


@contextlib.asynccontextmanager
async def _running(capture: Tcpdump | TraceCmd, sign: Path) -> AsyncIterator[None]:
    """The capture's life, from when its tool has made a file until its end."""
    children = Children()
    await capture.begin(children)
    task = asyncio.create_task(capture.run(children))
    try:
        async with asyncio.timeout(10):
            await in_thread(partial(_appear, sign))
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await capture.end(children)
        await asyncio.sleep(0.1)  # the loop reaps what was killed


def _settings(
    directory: Path,
    *,
    ring_mb: int = 4,
    client: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0),
) -> CaptureSettings:
    return CaptureSettings(
        directory, ring_mb=ring_mb, packet_bytes=160, max_bytes=8 << 20, client=client
    )


def _tcpdump(tmp_path: Path, tool: Tool, script: str) -> Tcpdump:
    tool("tcpdump", f'cd {tmp_path}/ring; echo "$@" >{tmp_path}/argv; {script}; exec sleep 300')
    return Tcpdump(_settings(tmp_path / "ring", ring_mb=16))


async def test_a_bundle_gets_the_packets_in_the_order_of_the_ring(
    tmp_path: Path, tool: Tool, context: ActionContext
) -> None:
    """The file written last comes last, whatever its number; headers alone are asked for."""
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(savefile([b"%d" % number]))
    ring = " && ".join(f"cp ../{n} smb.pcap{n} && sleep 0.02" for n in (1, 2, 0))
    capture = _tcpdump(tmp_path, tool, f"{ring}; touch ../done")
    async with _running(capture, tmp_path / "done"):
        collected = await capture.action.collect(context)
        assert (tmp_path / "ring").stat().st_mode & 0o777 == 0o700
    assert collected.error == ""
    assert (tmp_path / "bundle" / "x.log").read_bytes() == savefile([b"1", b"2", b"0"])
    assert (tmp_path / "bundle" / "x.log").stat().st_mode & 0o777 == 0o600
    argv = (tmp_path / "argv").read_text().split()
    assert argv[argv.index("-s") + 1] == "160"
    assert argv[argv.index("-C") :][:4] == ["-C", "4", "-W", "4"]
    assert argv[-3:] == ["tcp", "port", "445"]
    assert list((tmp_path / "ring").iterdir()) == []


async def test_tcpdump_dies_with_its_capture(tmp_path: Path, tool: Tool) -> None:
    """Cancelled, the capture leaves no child."""
    capture = _tcpdump(tmp_path, tool, "echo $$ >../pid.new; mv ../pid.new ../pid")
    async with _running(capture, tmp_path / "pid"):
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_tcpdump_that_ends_says_why(tmp_path: Path, tool: Tool) -> None:
    """Its last words are the reason."""
    tool("tcpdump", "echo 'tcpdump: no permission' >&2; exit 1")
    capture = Tcpdump(_settings(tmp_path / "ring", ring_mb=4))
    await capture.begin(Children())
    assert await capture.run(Children()) == "exit status 1: tcpdump: no permission"


async def test_without_packets_the_entry_says_so(tmp_path: Path, context: ActionContext) -> None:
    """No ring and an empty one are told apart."""
    capture = Tcpdump(_settings(tmp_path / "ring", ring_mb=4))
    await capture.begin(Children())
    assert (await capture.action.collect(context)).error.startswith("tcpdump is not running")
    (tmp_path / "ring" / "smb.pcap0").write_bytes(savefile([]))
    assert (await capture.action.collect(context)).error == "no packets of port 445 so far"


async def test_what_is_left_of_a_killed_agent_goes_at_the_start(tmp_path: Path) -> None:
    """Old packets are in no bundle, and links are removed, not followed."""
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring" / "smb.pcap0").write_bytes(savefile([b"old"]))
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "ring" / "smb.pcap1").symlink_to(tmp_path / "kept")
    await Tcpdump(_settings(tmp_path / "ring", ring_mb=4)).begin(Children())
    assert list((tmp_path / "ring").iterdir()) == []
    assert (tmp_path / "kept").read_text() == "kept"


async def test_packets_that_would_fill_the_disk_are_left_out(
    tmp_path: Path, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is worth more than the packets."""
    capture = Tcpdump(_settings(tmp_path / "ring", ring_mb=4))
    await capture.begin(Children())
    (tmp_path / "ring" / "smb.pcap0").write_bytes(savefile([b"x"]))

    class _Nearly:
        f_bavail, f_frsize = 1, 64

    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: _Nearly)
    collected = await capture.action.collect(context)
    assert collected.error == "41 bytes left out: 64 are free on the disk"
    assert list((tmp_path / "bundle").iterdir()) == []


async def test_trace_events_are_recorded_by_the_kernel_and_printed(
    tmp_path: Path, tool: Tool, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance of our own, bounded, of cifs's events, printed for a bundle, gone at the end."""
    calls, instance = tmp_path / "calls", tmp_path / "instances" / "aodasync"
    (tmp_path / "events").mkdir()
    instance.mkdir(parents=True)  # a killed agent's
    monkeypatch.setattr("aodasync.host.tracefs.TRACEFS", (tmp_path,))
    tool(
        "trace-cmd",
        f"""echo "$@" >>{calls}
        case $1 in show) echo smb3_enter;; start) mkdir {instance}; touch {tmp_path}/on;; esac""",
    )
    waited = asyncio.Event()

    async def client() -> None:
        waited.set()

    capture = TraceCmd(_settings(tmp_path, client=client))
    async with _running(capture, tmp_path / "on"):
        assert waited.is_set()
        collected = await capture.action.collect(context)
    assert (collected.error, collected.exit_code) == ("", 0)
    assert (tmp_path / "bundle" / "x.log").read_bytes() == b"smb3_enter\n"
    each_kb = max(64, 2048 // (os.cpu_count() or 1))
    assert calls.read_text().splitlines() == [
        f"start -B aodasync -b {each_kb} -e cifs",
        "show -B aodasync",
    ]
    assert not instance.exists()


async def test_trace_cmd_that_fails_says_why(tool: Tool) -> None:
    """A kernel without the events, or without tracefs."""
    tool("trace-cmd", "echo 'No events enabled with cifs' >&2; exit 22")
    capture = TraceCmd(_settings(Path("/nonexistent")))
    begun_sec = time.monotonic()
    assert await capture.run(Children()) == "exit status 22: No events enabled with cifs"
    assert time.monotonic() - begun_sec < 5
