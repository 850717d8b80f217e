# SPDX-License-Identifier: MIT
"""systemd hears when the agent is ready."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from aodasync.host.systemd import notify


def test_state_reaches_the_notify_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 arrives as one datagram."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1\nSTATUS=watching")
        assert systemd.recv(100) == b"READY=1\nSTATUS=watching"


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket", "@nobody-listens"])
def test_without_systemd_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absent or dead socket is no error."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
