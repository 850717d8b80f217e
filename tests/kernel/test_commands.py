# SPDX-License-Identifier: MIT
"""The last resort, on records as the client's tracepoints fill them."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from aodasync.events import Flag, Kind, Outcome
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.rig import Rig

NEGOTIATE = COMMAND_CODES["SMB2_NEGOTIATE"]
SESSION_SETUP = COMMAND_CODES["SMB2_SESSION_SETUP"]
CREATE = COMMAND_CODES["SMB2_CREATE"]
CLOSE = COMMAND_CODES["SMB2_CLOSE"]
READ = COMMAND_CODES["SMB2_READ"]
ECHO = COMMAND_CODES["SMB2_ECHO"]
QUERY_INFO = COMMAND_CODES["SMB2_QUERY_INFO"]
NOT_FOUND = 0xC0000034
RECORD = struct.Struct("=8xI4xQH6xQI")


class FakeTracepoints:
    """Fires them with what the client would tell."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def enter(self, command: int, message_id: int, session_id: int = 77) -> None:
        self._fire("command_enter", command, message_id, session_id, 0)

    def done(self, command: int, message_id: int, session_id: int = 77) -> None:
        self._fire("command_done", command, message_id, session_id, 0)

    def err(self, command: int, message_id: int, status: int, session_id: int = 77) -> None:
        self._fire("command_err", command, message_id, session_id, status)

    def _fire(
        self, program: str, command: int, message_id: int, session_id: int, status: int
    ) -> None:
        record = RECORD.pack(5, session_id, command, message_id, status).ljust(96, b"\0")
        self.rig.run(program, *struct.unpack("=12Q", record))

    def rows(self) -> Any:
        return self.rig.probe.read(100)

    def in_flight(self) -> list[int]:
        """Message ids."""
        found: list[int] = self.rig.probe.in_flight()["message_id"].tolist()
        return found


@pytest.fixture
def client(make_rig: Callable[..., Rig]) -> FakeTracepoints:
    """A client that is only heard of."""
    return FakeTracepoints(make_rig(method="tracepoint"))


def test_a_pair_makes_a_request(client: FakeTracepoints) -> None:
    """Command, ids, issuer, both ends and the status; no connection, no time of receipt."""
    before = time.monotonic_ns()
    client.enter(CREATE, 9)
    assert client.in_flight() == [9]
    client.err(CREATE, 9, NOT_FOUND)
    (row,) = client.rows()
    assert (row["command"], row["message_id"], row["session_id"], row["tree_id"]) == (
        CREATE,
        9,
        77,
        5,
    )
    assert (row["status"], row["outcome"], row["kind"]) == (
        NOT_FOUND,
        Outcome.ANSWERED,
        Kind.REQUEST,
    )
    assert before <= row["issued_ns"] <= row["released_ns"] <= time.monotonic_ns()
    assert row["tgid"] == os.getpid()
    assert (row["received_ns"], row["sent_ns"], row["connection_id"]) == (0, 0, 0)
    assert client.in_flight() == []


def test_an_echo_is_not_followed(client: FakeTracepoints) -> None:
    """Its end is never told."""
    client.enter(ECHO, 9)
    assert client.in_flight() == []


def test_an_end_that_is_told_twice_counts_once(client: FakeTracepoints) -> None:
    """Compounds are; the second one is a figure, no loss."""
    client.enter(CREATE, 9)
    client.done(CREATE, 9)
    client.done(CREATE, 9)
    assert len(client.rows()) == 1
    assert client.rig.probe.figures()["unpaired"] == 1
    assert not any(client.rig.probe.losses().values())


def test_the_first_session_setup_ends_under_its_new_session(client: FakeTracepoints) -> None:
    """It is sent without one."""
    client.enter(SESSION_SETUP, 1, session_id=0)
    client.err(SESSION_SETUP, 1, 0xC0000016, session_id=88)
    assert client.rows()["command"].tolist() == [SESSION_SETUP]


def test_an_end_of_another_command_is_not_believed(client: FakeTracepoints) -> None:
    """The ids recur after a reconnect."""
    client.enter(CREATE, 9)
    client.done(CLOSE, 9)
    assert len(client.rows()) == 0
    assert client.in_flight() == [9]


def test_later_parts_of_a_failed_compound_are_let_go(client: FakeTracepoints) -> None:
    """They would look like requests that hang for ever; how many there were is counted."""
    for message_id, command in enumerate((CREATE, QUERY_INFO, CLOSE), 9):
        client.enter(command, message_id)
    client.err(CREATE, 9, NOT_FOUND)
    assert client.in_flight() == []
    assert client.rows()["command"].tolist() == [CREATE]
    assert client.rig.probe.losses()["unended"] == 2


def test_requests_of_their_own_are_not_let_go(client: FakeTracepoints) -> None:
    """A thread may have many reads under way with ids in a row."""
    for message_id in (9, 10, 11):
        client.enter(READ, message_id)
    client.err(READ, 9, 0xC0000011)
    assert client.in_flight() == [10, 11]
    client.done(READ, 10)
    client.done(READ, 11)
    assert len(client.rows()) == 3


def test_nothing_is_in_flight_over_a_reconnect(client: FakeTracepoints) -> None:
    """What was is asked again under other ids, and its end is never told."""
    client.enter(READ, 9)
    client.rig.run("command_reconnect")
    client.enter(READ, 2)
    assert client.in_flight() == [2]


def test_nothing_is_in_flight_for_longer_than_the_client_waits(
    client: FakeTracepoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of a request whose end was never told."""
    client.enter(READ, 9)
    later = time.monotonic_ns() + 181 * 10**9
    monkeypatch.setattr("aodasync.probes.request_probe.time.monotonic_ns", lambda: later)
    assert client.in_flight() == []


def test_a_slow_one_is_urgent(client: FakeTracepoints) -> None:
    """As with every way to look."""
    client.rig.probe.set_emergency_ns([0] * READ + [1])
    client.enter(READ, 9)
    client.done(READ, 9)
    assert client.rows()["flags"].tolist() == [Flag.URGENT]
