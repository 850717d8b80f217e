# SPDX-License-Identifier: MIT
"""Attaching through perf events: what is missing is told, nothing is guessed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aodasync.errors import BpfError
from aodasync.probes import perf_events
from aodasync.probes.perf_events import attach_kprobe, attach_tracepoint


def test_a_kernel_without_kprobes_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the option that it lacks."""
    monkeypatch.setattr(perf_events, "_KPROBES", tmp_path)
    with pytest.raises(BpfError, match="CONFIG_KPROBE_EVENTS") as caught:
        attach_kprobe(-1, "dequeue_mid", at_return=False)
    assert caught.value.errno == errno.ENOENT


def test_a_tracepoint_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By name."""
    monkeypatch.setattr("aodasync.host.tracefs.TRACEFS", (tmp_path,))
    with pytest.raises(BpfError, match="cifs/smb3_cmd_enter"):
        attach_tracepoint(-1, "cifs/smb3_cmd_enter")
