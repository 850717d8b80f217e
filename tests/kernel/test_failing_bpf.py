# SPDX-License-Identifier: MIT
"""bpf(2) fails now and then, as it does when memory is short: the agent goes on."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync import agent as module
from aodasync import probes
from aodasync.agent import Agent
from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.cli.ask_agent import ask
from aodasync.errors import BpfError
from aodasync.probes import bpf, maps
from aodasync.smb.commands import COMMAND_CODES
from tests.builders import config, hang_anomaly
from tests.kernel.fake_client import FakeClient
from tests.kernel.rig import Rig

_ASKED = 20


class Shortage:
    """Lets so many of all bpf(2) calls fail with ENOMEM."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.share = 0.0
        self.failed = 0
        self._real = bpf.call
        self._random = random.Random(20261128)  # noqa: S311
        for where in (bpf, maps):
            monkeypatch.setattr(where, "call", self._call)

    def _call(self, command: bpf.Command, attributes: bytes | bytearray, what: str) -> int:
        if self._random.random() < self.share:
            self.failed += 1
            raise BpfError(f"{what}: Cannot allocate memory", errno.ENOMEM)
        return self._real(command, attributes, what)


async def _ask(command: str, run_dir: Path) -> dict[str, Any]:
    return await asyncio.to_thread(ask, command, timeout_sec=30, run_dir=run_dir)


async def _life(shortage: Shortage, share: float, directory: Path) -> tuple[Path, Any]:
    """Run an agent through a shortage; returns its bundle and its status."""
    settings = config(
        hang_anomaly(), watch_interval_sec=0.02, watcher_actions=("mounts",), output_dir=directory
    )
    with OutputDirectory.prepare(directory / "aod") as output:
        agent = Agent(settings, output=output, run_dir=directory, log=structlog.get_logger())
        running = asyncio.create_task(agent.run())
        async with asyncio.timeout(10):
            while agent._attach.reader is None:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
        shortage.share = share
        for _ in range(_ASKED):
            await _ask("status", directory)
        written = Path((await _ask("snapshot", directory))["path"])
        shortage.share = 0.0
        status = await _ask("status", directory)
        agent._stop.set()
        await asyncio.wait_for(running, 30)
    return written, status


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_failing_reads_cost_entries_and_no_more(
    make_rig: Callable[..., Rig],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    share: float,
) -> None:
    """``status`` answers, a bundle is written, no task restarts; all failures are counted.

    Once memory is there again, the tables are read again.
    """
    rig = make_rig()
    client = FakeClient(rig)
    client.alloc(0, client.server(0, 1, "nas", "10.0.0.1"), COMMAND_CODES["SMB2_READ"])

    async def open_probe(**_: Any) -> Any:
        return rig.probe

    monkeypatch.setattr(probes, "cifs_loaded", lambda: True)
    monkeypatch.setattr(probes, "open_probe", open_probe)
    monkeypatch.setattr(module, "STATE_DIR", tmp_path / "state")
    monkeypatch.setattr(module, "CACHE_DIR", tmp_path / "cache")
    shortage = Shortage(monkeypatch)
    with capture_logs() as logs:
        written, status = asyncio.run(_life(shortage, share, tmp_path))
    assert shortage.failed > _ASKED
    assert status["losses"]["bpf_reads"] > 0
    assert status["in_flight"]["count"] == 1
    assert verify(written) == ()
    assert share < 1 or {"losses", "connections"} <= set(read_manifest(written)["unreadable"])
    assert {line["log_level"] for line in logs} <= {"info", "warning", "debug"}
    assert [line for line in logs if line["event"] == "task_restarted"] == []
    assert "Traceback" not in "".join(capfd.readouterr())
