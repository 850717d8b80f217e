# SPDX-License-Identifier: MIT
"""An agent that is started before the first mount, on the event loop that it really has."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.waiting import Waiting

_NETLINK_KOBJECT_UEVENT = 15
_GROUP_OF_THE_KERNEL = 1
_UEVENT = b"add@/module/cifs\0ACTION=add\0DEVPATH=/module/cifs\0SUBSYSTEM=module\0"


@pytest.fixture
def agents() -> Iterator[contextlib.ExitStack]:
    """Ends agents that a failing test leaves."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_the_uevent_ends_the_wait(agents: contextlib.ExitStack, tmp_path: Path) -> None:
    """The module is noticed within a second of its uevent, through a real netlink socket.

    The poll, every minute, cannot have been it.
    """
    waiting = Waiting.started(agents, tmp_path, 60)
    waiting.load()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_KOBJECT_UEVENT) as kernel:
        kernel.sendto(_UEVENT, (0, _GROUP_OF_THE_KERNEL))
    assert waiting.wait("opening", 10) < 1
    waiting.stop()


def test_it_waits_without_a_complaint(agents: contextlib.ExitStack, tmp_path: Path) -> None:
    """As many polls as in two minutes log no warning and restart no task; then it notices."""
    waiting = Waiting.started(agents, tmp_path, 0.01)
    time.sleep(120 / 0.5 * 0.01)
    assert waiting.events("opening") == []
    waiting.load()
    assert waiting.wait("opening", 10) < 1
    waiting.stop()
