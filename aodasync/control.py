# SPDX-License-Identifier: MIT
"""Asking the running agent, from another process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from aodasync.errors import AgentUnreachableError, NotPermittedError
from aodasync.lock import RUN_DIR
from aodasync.tasks.control import SOCKET_NAME

__all__ = ["ask"]


def ask(command: str, *, timeout_sec: float, run_dir: Path = RUN_DIR) -> dict[str, Any]:
    """Send a command to the agent and return its answer.

    Raises:
        NotPermittedError: the caller is not root.
        AgentUnreachableError: no agent runs, or it does not answer in time.
    """
    path = run_dir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(timeout_sec)
            channel.connect(str(path))
            channel.sendall(json.dumps({"command": command}).encode() + b"\n")
            with channel.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except PermissionError as error:
        raise NotPermittedError(
            "only root may ask the agent", hint=f"sudo aodasync {command}"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise AgentUnreachableError(
            "no agent is running", hint="start it: systemctl start aodasync, or sudo aodasync"
        ) from error
    except (OSError, ValueError) as error:
        raise AgentUnreachableError(
            f"the agent does not answer ({str(error) or type(error).__name__})",
            hint="look at its log: journalctl -u aodasync",
        ) from error
    if not isinstance(answer, dict) or "error" in answer:
        reason = answer.get("error") if isinstance(answer, dict) else "malformed answer"
        raise AgentUnreachableError(f"the agent refused: {reason}", hint="see its log")
    return answer
