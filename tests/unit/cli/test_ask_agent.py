# SPDX-License-Identifier: MIT
"""Asking the agent ends in time, whatever answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aodasync.cli import ask_agent, check
from aodasync.cli import main as cli
from aodasync.cli.ask_agent import ask
from aodasync.errors import AgentUnreachableError
from aodasync.tasks.control_server import SOCKET_NAME


@contextmanager
def _agent(run_dir: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(run_dir / SOCKET_NAME))
        server.listen()

        def serve() -> None:
            channel, _ = server.accept()
            with channel:
                channel.recv(4096)
                try:
                    answer(channel)
                except OSError:
                    return  # the client has gone

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_an_answer_that_drips_times_out(tmp_path: Path) -> None:
    """A byte every 20 ms keeps nobody waiting beyond the deadline of the whole answer."""

    def drip(channel: socket.socket) -> None:
        while True:
            channel.sendall(b" ")
            time.sleep(0.02)

    with _agent(tmp_path, drip):
        begun = time.monotonic()
        with pytest.raises(AgentUnreachableError, match="timed out"):
            ask("status", timeout_sec=0.3, run_dir=tmp_path)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"{", "does not answer"),
        (b"[" * 100_000 + b"\n", "malformed answer"),
        (b"\x00\xff\n", "malformed answer"),
        (b"7\n", "malformed answer"),
        (b'{"error": "no"}\n', "refused: no"),
        (b"x" * (17 << 20), "no end"),
    ],
)
def test_an_odd_answer_is_one_error(tmp_path: Path, sent: bytes, said: str) -> None:
    """Cut off, nested, of another kind, without an end: each is the agent's fault in one line."""
    with (
        _agent(tmp_path, lambda channel: channel.sendall(sent)),
        pytest.raises(AgentUnreachableError, match=said),
    ):
        ask("status", timeout_sec=5, run_dir=tmp_path)


def test_an_answer_in_pieces_is_taken(tmp_path: Path) -> None:
    """The line is whole when its end is there."""

    def answer(channel: socket.socket) -> None:
        for piece in (b'{"pa', b'th": "x"}', b"\n"):
            channel.sendall(piece)
            time.sleep(0.02)

    with _agent(tmp_path, answer):
        assert ask("snapshot", timeout_sec=5, run_dir=tmp_path) == {"path": "x"}


def test_who_hangs_up_has_not_answered(tmp_path: Path) -> None:
    """No word of a parser about the first character of nothing."""
    with (
        _agent(tmp_path, lambda channel: channel.sendall(b"")),
        pytest.raises(AgentUnreachableError, match=r"does not answer \(it hung up\)"),
    ):
        ask("status", timeout_sec=5, run_dir=tmp_path)


@pytest.mark.parametrize("answer", [{}, {"mounts": 3, "servers": [1], "durations": None}])
@pytest.mark.parametrize("command", ["metrics", "snapshot", "status", "check"])
def test_an_agent_of_another_version_is_no_defect(
    command: str,
    answer: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It lacks what is asked for, or says it in another way: one line; ``check``: unknown."""
    for module in (ask_agent, check):
        monkeypatch.setattr(module, "ask", lambda *_, **__: answer)
    code = cli.main([command])
    out, err = capsys.readouterr()
    if command == "check":
        assert (code, err) == (3, "")
        assert out.startswith("UNKNOWN - the agent's answer is not understood (")
    elif code:
        assert (code, err.count("\n")) == (69, 1)
        assert "the agent's answer is not understood (" in err
        assert "another version" in err
    else:
        assert (command, answer) == ("status", {})
