# SPDX-License-Identifier: MIT
"""The control socket answers its own, and says plainly when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from aodasync.cli.ask_agent import ask
from aodasync.errors import AgentUnreachableError, NotPermittedError
from aodasync.host.peers import gid_of, peer_uid
from aodasync.tasks import control_server
from aodasync.tasks.control_server import MAX_ANSWER_BYTES, SOCKET_NAME, ControlServer

pytestmark = pytest.mark.anyio


async def _status() -> Mapping[str, Any]:
    return {"probe": "test"}


async def _broken() -> Mapping[str, Any]:
    raise KeyError("ring_full")


async def _huge() -> Mapping[str, Any]:
    return {"rows": "x" * MAX_ANSWER_BYTES}


async def _long() -> Mapping[str, Any]:
    return {"rows": "x" * 1_000_000}


@pytest.fixture
async def run_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory in which a control socket is served."""
    log: Any = structlog.get_logger()
    handlers = {"status": _status, "broken": _broken, "huge": _huge, "long": _long}
    task = asyncio.create_task(ControlServer(tmp_path, handlers, log).run())
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


@pytest.mark.parametrize(
    "garbage", [b"\n", b"{}", b"[]\n", b"\xff\xfe\n", b"x" * 10_000, b"[" * 4000 + b"\n"]
)
async def test_garbage_neither_answers_nor_stops_the_server(run_dir: Path, garbage: bytes) -> None:
    """A malformed request is dropped; the next client is served."""
    reader, writer = await asyncio.open_unix_connection(run_dir / SOCKET_NAME)
    writer.write(garbage)
    writer.write_eof()
    assert b"probe" not in await reader.read()
    writer.close()
    answer = await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir)
    assert json.dumps(answer) == '{"probe": "test"}'


@pytest.mark.parametrize(("command", "why"), [("broken", "ring_full"), ("huge", "has 4")])
async def test_a_handler_that_fails_is_an_answer(
    run_dir: Path, command: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its client gets the reason in a line, nothing reaches stderr, and others are served."""
    with pytest.raises(AgentUnreachableError, match=why):
        await asyncio.to_thread(ask, command, timeout_sec=5, run_dir=run_dir)
    assert await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir)
    assert "Traceback" not in capfd.readouterr().err


async def test_too_many_clients_are_refused(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the limit is refused at once; when the others left, it is served."""
    monkeypatch.setattr(control_server, "_MOST_CLIENTS", 4)

    async def until(answers: str) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    answer = await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir)
                except AgentUnreachableError as error:
                    answer = {"error": str(error)}
                if answers in str(answer):
                    return

    with contextlib.ExitStack() as idle:
        for _ in range(4):
            client = idle.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(run_dir / SOCKET_NAME))
        await until("4 clients are connected")
    await until("probe")


async def test_who_does_not_take_an_answer_is_cut_off(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it is not kept until the client goes."""
    monkeypatch.setattr(control_server, "_REQUEST_SEC", 0.2)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(run_dir / SOCKET_NAME))
        client.sendall(b'{"command": "long"}\n')
        await asyncio.sleep(1)
        client.settimeout(0)
        taken = 0
        while got := client.recv(1 << 16):
            taken += len(got)
    assert 0 < taken < 1_000_000


async def test_a_socket_that_was_removed_comes_back(
    run_dir: Path,
) -> None:
    """Within a second or so."""
    (run_dir / SOCKET_NAME).unlink()
    async with asyncio.timeout(5):
        while not (run_dir / SOCKET_NAME).exists():  # noqa: ASYNC110  # a path has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=run_dir)


def test_an_answer_that_drips_ends_with_the_time(tmp_path: Path) -> None:
    """The deadline is for all of it, not for each byte."""

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            while not done.wait(0.05):
                client.sendall(b" ")

    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        agent = threading.Thread(target=drip, args=(listener,))
        agent.start()
        with pytest.raises(AgentUnreachableError, match="timed out"):
            ask("status", timeout_sec=0.3, run_dir=tmp_path)
        done.set()
        agent.join()


async def test_the_socket_is_for_its_owner_alone(run_dir: Path) -> None:
    """Mode 0600."""
    assert stat.S_IMODE((run_dir / SOCKET_NAME).stat().st_mode) == 0o600


async def _served(directory: Path, group: str, log: Any) -> asyncio.Task[None]:
    server = ControlServer(directory, {"status": _status, "snapshot": _status}, log, group=group)
    task = asyncio.create_task(server.run())
    async with asyncio.timeout(5):
        while not (directory / SOCKET_NAME).exists():  # noqa: ASYNC110  # a path has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    return task


def _modes(directory: Path) -> list[int]:
    paths = (directory, directory / SOCKET_NAME)
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


async def test_a_group_may_look_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket alone is theirs; somebody else than root gets a status, and no snapshot."""
    group = grp.getgrgid(os.getegid())
    task = await _served(tmp_path, group.gr_name, structlog.get_logger())
    assert _modes(tmp_path) == [0o710, 0o660]
    assert (tmp_path / SOCKET_NAME).stat().st_gid == group.gr_gid
    assert await asyncio.to_thread(ask, "snapshot", timeout_sec=5, run_dir=tmp_path)
    monkeypatch.setattr(control_server, "peer_uid", lambda _: 4321)
    assert await asyncio.to_thread(ask, "status", timeout_sec=5, run_dir=tmp_path)
    for command in ("snapshot", "dance"):
        with pytest.raises(NotPermittedError, match="for root alone"):
            await asyncio.to_thread(ask, command, timeout_sec=5, run_dir=tmp_path)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_unknown_group_gets_nothing(tmp_path: Path) -> None:
    """It is logged, and the socket is its owner's, also where a group had it before."""
    run_dir = tmp_path / "run"
    await asyncio.to_thread(run_dir.mkdir, 0o710)
    with structlog.testing.capture_logs() as logged:
        task = await _served(run_dir, "no-such-group", structlog.get_logger())
    assert _modes(run_dir) == [0o700, 0o600]
    assert [line["event"] for line in logged] == ["control_group_refused"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_connects_is_known_by_the_kernel() -> None:
    """The user's number, not what a request says."""
    first, second = socket.socketpair()
    with first, second:
        assert peer_uid(first) == os.geteuid()
    assert gid_of(grp.getgrgid(0).gr_name) == 0
    assert gid_of("no-such-group") is None


def test_no_agent_is_said_with_its_mend(tmp_path: Path) -> None:
    """Without a socket the error tells how to start an agent."""
    with pytest.raises(AgentUnreachableError, match=r"no agent is running.*systemctl start"):
        ask("status", timeout_sec=1, run_dir=tmp_path)
