# SPDX-License-Identifier: MIT
"""Which requests may wait for ever."""

from __future__ import annotations

import pytest

from aodasync.detection.long_waits import may_wait
from aodasync.events import Flag
from aodasync.smb.commands import COMMANDS
from tests.builders import SECOND, request, requests


@pytest.mark.parametrize(
    ("flags", "waits"),
    [
        (0, {"SMB2_CHANGE_NOTIFY", "SMB2_LOCK"}),
        (int(Flag.ASYNC_RESPONSE), {*COMMANDS} - {"SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH"}),
    ],
)
def test_an_interim_response_excuses_all_but_data(flags: int, waits: set[str]) -> None:
    """Unannounced, only CHANGE_NOTIFY and LOCK may wait; announced, all but three commands."""
    rows = requests(*(request(name, released_ns=SECOND, flags=flags) for name in COMMANDS))
    assert {name for name, may in zip(COMMANDS, may_wait(rows), strict=True) if may} == waits


def test_an_unknown_command_may_wait_if_it_was_announced() -> None:
    """Nothing is known of it but what the server said."""
    rows = requests(
        request(0x7777, released_ns=SECOND),
        request(0x7777, released_ns=SECOND, flags=int(Flag.ASYNC_RESPONSE)),
    )
    assert may_wait(rows).tolist() == [False, True]
