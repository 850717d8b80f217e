# SPDX-License-Identifier: MIT
"""Asking the running agent, from another process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aodasync.errors import AgentAnswerError, AgentUnreachableError, NotPermittedError
from aodasync.host.instance_lock import RUN_DIR, SOCKET_NAME

__all__ = ["ask", "understood"]

_MAX_ANSWER_BYTES: Final = 16 << 20
_RECEIVE_BYTES: Final = 1 << 16
_LOG: Final = "look at its log: journalctl -u aodasync"


def ask(command: str, *, timeout_sec: float, run_dir: Path = RUN_DIR) -> dict[str, Any]:
    """Send a command to the agent and return its answer.

    Raises:
        NotPermittedError: the caller is neither root nor in ``control.group``, or asks for
            what is for root alone.
        AgentUnreachableError: no agent runs, or it does not answer in time.
        AgentAnswerError: its answer is no JSON object.
    """
    path = run_dir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(timeout_sec)
            channel.connect(str(path))
            channel.sendall(json.dumps({"command": command}).encode() + b"\n")
            line = _line(channel, time.monotonic() + timeout_sec)
    except PermissionError as error:
        raise NotPermittedError(
            "only root and members of control.group may ask the agent",
            hint=f"sudo aodasync {command}",
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise AgentUnreachableError(
            "no agent is running", hint="start it: systemctl start aodasync, or sudo aodasync"
        ) from error
    except (OSError, ValueError) as error:
        raise AgentUnreachableError(f"the agent does not answer ({error})", hint=_LOG) from error
    answer = _parsed(line)
    if answer.get("denied"):
        raise NotPermittedError(f"{command} is for root alone", hint=f"sudo aodasync {command}")
    if "error" in answer:
        raise AgentUnreachableError(f"the agent refused: {answer['error']}", hint=_LOG)
    return answer


@contextmanager
def understood() -> Iterator[None]:
    """While the agent's answers are read: an agent of another version may say other things.

    Raises:
        AgentAnswerError: what it said lacks something, or is of another type.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise AgentAnswerError(
            f"the agent's answer is not understood ({type(error).__name__}: {error})",
            hint="is it of another version? systemctl restart aodasync",
        ) from error


def _parsed(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise AgentUnreachableError("the agent does not answer (it hung up)", hint=_LOG)
    try:
        answer = json.loads(line.decode())
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise AgentAnswerError("the agent gave a malformed answer: no JSON object", hint=_LOG)
    return answer


def _line(channel: socket.socket, deadline_sec: float) -> bytes:
    """One line of the channel, or what came before it was closed.

    Raises:
        TimeoutError: it was not whole by ``deadline_sec`` (time.monotonic()), however steadily
            it came.
        ValueError: it is longer than any answer.
    """
    data = bytearray()
    while not data.endswith(b"\n"):
        left_sec = deadline_sec - time.monotonic()
        if left_sec <= 0:
            raise TimeoutError("timed out")
        channel.settimeout(left_sec)
        received = channel.recv(_RECEIVE_BYTES)
        if not received:
            break
        data += received
        if len(data) > _MAX_ANSWER_BYTES:
            raise ValueError("its answer has no end")
    return bytes(data)
