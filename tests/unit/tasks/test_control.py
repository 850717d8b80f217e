# SPDX-License-Identifier: MIT
"""The control socket answers its own, and says plainly when it cannot."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from aodasync.control import ask
from aodasync.errors import AgentUnreachableError
from aodasync.tasks.control import SOCKET_NAME, Control

pytestmark = pytest.mark.anyio


async def _status() -> Mapping[str, Any]:
    return {"probe": "test"}


@pytest.fixture
async def run_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory in which a control socket is served."""
    log: Any = structlog.get_logger()
    task = asyncio.create_task(Control(tmp_path, {"status": _status}, log).run())
    async with asyncio.timeout(5):
        while not (tmp_path / SOCKET_NAME).exists():  # noqa: ASYNC110  # a path has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    yield tmp_path
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_known_command_is_answered(run_dir: Path) -> None:
    """The client gets the handler's object."""
    assert await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir) == {
        "probe": "test"
    }


async def test_an_unknown_command_is_refused_by_name(run_dir: Path) -> None:
    """The error names what was asked for."""
    with pytest.raises(AgentUnreachableError, match="unknown command 'dance'"):
        await asyncio.to_thread(ask, "dance", timeout_sec=5, run_dir=run_dir)


@pytest.mark.parametrize("garbage", [b"\n", b"{}", b"[]\n", b"\xff\xfe\n", b"x" * 10_000])
async def test_garbage_neither_answers_nor_stops_the_server(run_dir: Path, garbage: bytes) -> None:
    """A malformed request is dropped; the next client is served."""
    reader, writer = await asyncio.open_unix_connection(run_dir / SOCKET_NAME)
    writer.write(garbage)
    writer.write_eof()
    assert b"probe" not in await reader.read()
    writer.close()
    answer = await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir)
    assert json.dumps(answer) == '{"probe": "test"}'


async def test_the_socket_is_for_its_owner_alone(run_dir: Path) -> None:
    """Mode 0600."""
    assert stat.S_IMODE((run_dir / SOCKET_NAME).stat().st_mode) == 0o600


def test_no_agent_is_said_with_its_mend(tmp_path: Path) -> None:
    """Without a socket the error tells how to start an agent."""
    with pytest.raises(AgentUnreachableError, match=r"no agent is running.*systemctl start"):
        ask("status", timeout_sec=1, run_dir=tmp_path)
