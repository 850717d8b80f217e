# SPDX-License-Identifier: MIT
"""What the BPF programs record of a request, on this kernel, with the types of four others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, Flag, Kind, MidState, Outcome
from aodasync.probes.in_flight_table import InFlightTable
from aodasync.probes.preparation import METHODS
from aodasync.probes.scanning import MapScanner
from aodasync.probes.shared import CHECK_GRACE_NS, IN_FLIGHT_MAX, MapNumber
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.fake_client import ASYNC_COMMAND, RESPONSE, FakeClient
from tests.kernel.rig import Rig
from tests.kernel.test_maps import set_slot, take_slot
from tests.unit.probes.kernel_types import KERNELS

READ = COMMAND_CODES["SMB2_READ"]
WRITE = COMMAND_CODES["SMB2_WRITE"]
CREATE = COMMAND_CODES["SMB2_CREATE"]
ECHO = COMMAND_CODES["SMB2_ECHO"]
NEGOTIATE = COMMAND_CODES["SMB2_NEGOTIATE"]
ACCESS_DENIED = 0xC0000022
END_OF_FILE = 0xC0000011
SECOND = 1_000_000_000

NO_LOSSES = {
    "ring_full",
    "map_full",
    "status_unseen",
    "foreign",
}


@pytest.fixture(params=[(version, by) for version in sorted(KERNELS) for by in METHODS[:2]])
def client(request: pytest.FixtureRequest, make_rig: Callable[..., Rig]) -> FakeClient:
    """A client with the types of each kernel, looked at by fentry and by kprobe."""
    version, method = request.param
    return FakeClient(make_rig(version, method=method))


def only_row(client: FakeClient) -> Any:
    """The single row that was recorded."""
    rows = client.rig.probe.read(100)
    assert rows.shape == (1,)
    assert rows.dtype == EVENT
    return rows[0]


def losses(client: FakeClient) -> dict[str, int]:
    """Loss counters that are not 0."""
    return {name: value for name, value in client.rig.probe.losses().items() if value}


def test_an_answered_request_is_recorded_in_full(client: FakeClient) -> None:
    """Identity from the request's header, issuer from alloc, times in order, status at receipt."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    before = time.monotonic_ns()
    mid = client.alloc(0, server, CREATE, session_id=2**60 + 1, tree_id=9, flags=0x8)
    client.send(mid, 0)
    client.receive(mid, ACCESS_DENIED)
    client.take_response(mid)
    client.delete(mid)
    client.release(mid, MidState.READY)
    row = only_row(client)
    assert row["kind"] == Kind.REQUEST
    assert row["command"] == CREATE
    assert row["message_id"] == mid.message_id
    assert row["session_id"] == 2**60 + 1
    assert row["tree_id"] == 9
    assert row["connection_id"] == 12
    assert row["status"] == ACCESS_DENIED
    assert row["outcome"] == Outcome.ANSWERED
    assert row["mid_state"] == MidState.READY
    assert row["mid_flags"] == 2
    assert row["flags"] == Flag.SIGNED
    assert row["pid"] == threading.get_native_id()
    assert row["tgid"] == os.getpid()
    assert row["comm"] == Path("/proc/thread-self/comm").read_bytes().strip()
    assert before <= row["issued_ns"] <= row["received_ns"] <= row["released_ns"]
    assert row["released_ns"] <= time.monotonic_ns()
    assert row["sent_ns"] == row["issued_ns"]
    assert len(client.rig.probe.in_flight()) == 0
    assert losses(client) == {}
    assert set(client.rig.probe.losses()) >= NO_LOSSES


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_status_of_a_read_is_with_its_io(client: FakeClient, *, encrypted: bool) -> None:
    """Its header reaches resp_buf only after dequeue_mid, if ever."""
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, READ)
    flags = RESPONSE | ASYNC_COMMAND
    client.receive(mid, END_OF_FILE, flags=flags, payload_first=not encrypted, encrypted=encrypted)
    client.release(mid, MidState.RECEIVED)
    row = only_row(client)
    assert row["status"] == END_OF_FILE
    assert row["outcome"] == Outcome.ANSWERED
    assert row["flags"] == Flag.ASYNC_RESPONSE
    assert row["received_ns"] > 0
    assert losses(client) == {}


@pytest.mark.parametrize("flags", [0, RESPONSE])
def test_only_the_answer_to_this_request_is_believed(rig: Rig, flags: int) -> None:
    """Not the request itself, which is where the answer will be; nor one with another id."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, READ)
    other = replace(mid, message_id=mid.message_id + (flags == RESPONSE))
    client.receive(other, END_OF_FILE, flags=flags, encrypted=True)
    client.release(mid, MidState.RECEIVED)
    row = only_row(client)
    assert row["status"] == 0
    assert row["flags"] == Flag.STATUS_UNSEEN
    assert losses(client) == {"status_unseen": 1}


def test_sent_is_issued_plus_ticks(client: FakeClient) -> None:
    """The client notes jiffies; 3 ticks are 3/CONFIG_HZ seconds."""
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, WRITE)
    client.send(mid, 3)
    client.receive(mid)
    client.release(mid)
    row = only_row(client)
    tick_ns = round(time.clock_getres(6) * SECOND)
    assert row["sent_ns"] - row["issued_ns"] == 3 * tick_ns


@pytest.mark.parametrize(
    ("state", "cancelled", "outcome"),
    [
        (MidState.RECEIVED, False, Outcome.ANSWERED),
        (MidState.READY, False, Outcome.ANSWERED),
        (MidState.RECEIVED, True, Outcome.CANCELLED),
        (MidState.READY, True, Outcome.CANCELLED),
        (MidState.RETRY_NEEDED, False, Outcome.RETRY),
        (MidState.SHUTDOWN, False, Outcome.SHUTDOWN),
        (MidState.MALFORMED, False, Outcome.MALFORMED),
        (MidState.SUBMITTED, True, Outcome.CANCELLED),
        (MidState.SUBMITTED, False, Outcome.SEND_FAILED),
        (MidState.ALLOCATED, False, Outcome.SEND_FAILED),
        (MidState.FREE, False, Outcome.UNKNOWN),
        (0x80, False, Outcome.UNKNOWN),
    ],
)
def test_outcomes(rig: Rig, state: int, *, cancelled: bool, outcome: Outcome) -> None:
    """The MID's state at release decides, and whether its waiter had gone."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, CREATE)
    if cancelled:
        client.cancel(mid)
    client.release(mid, state)
    row = only_row(client)
    assert row["outcome"] == outcome
    assert row["mid_state"] == state
    assert row["mid_flags"] == (1 if cancelled else 0)
    assert bool(row["flags"] & Flag.URGENT) == (outcome != Outcome.ANSWERED)


def test_cancelled_waiters_are_seen_in_every_layout(client: FakeClient) -> None:
    """Whether the kernel keeps a flags word or bitfields."""
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, CREATE)
    client.cancel(mid)
    client.release(mid, MidState.SUBMITTED)
    assert only_row(client)["mid_flags"] == 1


def test_header_flags(rig: Rig) -> None:
    """Compounds are told by NextCommand or RELATED, async answers by the final header."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    first = client.alloc(0, server, CREATE, next_command=120)
    second = client.alloc(1, server, READ, flags=0x4)
    third = client.alloc(2, server, WRITE, flags=0x8)
    client.receive(first)
    client.receive(second, payload_first=True)
    client.receive(third, flags=RESPONSE | ASYNC_COMMAND)
    for mid in (first, second, third):
        client.release(mid, MidState.READY)
    flags = rig.probe.read(10)["flags"].tolist()
    assert flags == [Flag.COMPOUND, Flag.COMPOUND, Flag.SIGNED | Flag.ASYNC_RESPONSE]


def test_a_buffer_that_is_no_smb2_response_is_not_believed(rig: Rig) -> None:
    """Its protocol id is looked at first."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, CREATE)
    client.set(mid, "resp_buf", "=Q", rig.arena.base + server)
    client.release(mid, MidState.READY)
    row = only_row(client)
    assert (row["status"], row["flags"]) == (0, Flag.STATUS_UNSEEN)


def test_requests_in_flight_are_listed_oldest_first(client: FakeClient) -> None:
    """As rows of the same dtype: nothing released, a response perhaps received."""
    server = client.server(0, 3, "s", "10.0.0.1")
    mids = [client.alloc(slot, server, command) for slot, command in enumerate((ECHO, READ, WRITE))]
    client.receive(mids[1], payload_first=True)
    rows = client.rig.probe.in_flight()
    assert rows["command"].tolist() == [ECHO, READ, WRITE]
    assert (rows["outcome"] == Outcome.IN_FLIGHT).all()
    assert (rows["released_ns"] == 0).all()
    assert (rows["received_ns"] > 0).tolist() == [False, True, False]
    client.release(mids[0], MidState.RETRY_NEEDED)
    assert client.rig.probe.in_flight()["command"].tolist() == [READ, WRITE]


def test_a_probe_is_quiet_only_while_nothing_is_anywhere(client: FakeClient) -> None:
    """Neither in flight nor in the ring; an operation inside the client is something, too."""
    probe = client.rig.probe
    assert probe.is_quiet()
    mid = client.alloc(0, client.server(0, 3, "s", "10.0.0.1"), ECHO)
    assert not probe.is_quiet()
    client.release(mid, MidState.RETRY_NEEDED)
    assert not probe.is_quiet()
    assert len(probe.read(10)) == 1
    assert probe.is_quiet()
    client.rig.run("smb3_enter", 1, 0)
    assert not probe.is_quiet()
    client.rig.run("operation_ended", 1)
    assert probe.is_quiet()


def test_an_interim_response_shows_in_flight(client: FakeClient) -> None:
    """Only on the request that it answers, and only while that one is in flight."""
    server = client.server(0, 3, "s", "10.0.0.1")
    other = client.server(1, 4, "s", "10.0.0.2")
    mids = [client.alloc(slot, at, READ) for slot, at in enumerate((server, server, other))]
    client.receive_interim(mids[0], is_pending=False)
    client.receive_interim(mids[1])
    flags = client.rig.probe.in_flight()["flags"].tolist()
    assert flags == [0, Flag.ASYNC_RESPONSE, 0]
    for mid in mids:
        client.release(mid, MidState.READY)
    assert len(client.rig.probe.in_flight()) == 0
    assert not (client.rig.probe.read(10)["flags"] & Flag.ASYNC_RESPONSE).any()


def test_connections_are_named(client: FakeClient) -> None:
    """By connection id: host name, address, port."""
    first = client.server(0, 1, "one.example", "10.0.0.1")
    second = client.server(1, 2, "", "10.0.0.2")
    client.alloc(0, first, READ)
    client.alloc(1, second, READ)
    found = client.rig.probe.connections()
    assert {(c.connection_id, c.server, c.address, c.port) for c in found.values()} == {
        (1, "one.example", "10.0.0.1", 445),
        (2, "10.0.0.2", "10.0.0.2", 445),
    }


def test_the_network_namespace_of_a_connection_is_known(client: FakeClient) -> None:
    """By its inode number; 0 where the connection has none."""
    first = client.server(0, 1, "one.example", "10.0.0.1")
    client.put_into_namespace(first, 4026531840)
    client.alloc(0, first, READ)
    client.alloc(1, client.server(1, 2, "", "10.0.0.2"), READ)
    found = client.rig.probe.connections()
    assert {number: each.netns for number, each in found.items()} == {1: 4026531840, 2: 0}


def test_a_negotiate_reads_the_connection_anew(rig: Rig) -> None:
    """A DFS failover moves a connection; other requests cost no more than a look-up."""
    client = FakeClient(rig)
    server = client.server(0, 1, "one.example", "10.0.0.1")
    client.alloc(0, server, READ)
    client.server(0, 1, "two.example", "10.0.0.2")
    client.alloc(1, server, READ)
    assert rig.probe.connections()[1].server == "one.example"
    client.alloc(2, server, NEGOTIATE)
    assert rig.probe.connections()[1].server == "two.example"


def test_the_table_of_connections_is_scanned_when_it_was_written_to(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once more after that; a connection that comes later is seen at the next look."""
    client = FakeClient(rig)
    scans: list[int] = []
    scan = MapScanner.scan

    def counted(scanner: MapScanner) -> Any:
        scans.append(1)
        return scan(scanner)

    monkeypatch.setattr(MapScanner, "scan", counted)
    for number in (1, 2):
        scans.clear()
        client.alloc(number, client.server(number, number, f"s{number}", "10.0.0.1"), READ)
        for _ in range(9):
            assert set(rig.probe.connections()) == set(range(1, number + 1))
        assert len(scans) == 2


def test_a_long_host_name_is_cut(rig: Rig) -> None:
    """To what fits, and still a string."""
    client = FakeClient(rig)
    server = client.server(0, 1, "h" * 100, "10.0.0.1")
    client.alloc(0, server, READ)
    assert rig.probe.connections()[1].server == "h" * 63


def test_a_request_from_before_the_probes_is_adopted(client: FakeClient) -> None:
    """What its MID tells is recorded, its age to one tick; nobody is blamed for it."""
    server = client.server(0, 8, "s", "10.0.0.1")
    client.rig.track_since(time.monotonic_ns())
    tick_ns = round(time.clock_getres(6) * SECOND)
    ticks = SECOND // tick_ns
    mid = client.make_mid(0, server, WRITE, client.rig.arena.refresh_jiffies() - ticks)
    now = time.monotonic_ns()
    client.receive(mid, ACCESS_DENIED)
    assert client.rig.probe.in_flight()["command"].tolist() == [WRITE]
    client.release(mid, MidState.RECEIVED)
    row = only_row(client)
    assert row["flags"] & Flag.BEFORE_ATTACH
    assert row["command"] == WRITE
    assert row["message_id"] == mid.message_id
    assert row["connection_id"] == 8
    assert row["pid"] == 4242
    assert row["status"] == ACCESS_DENIED
    assert row["outcome"] == Outcome.ANSWERED
    age_ns = now - int(row["issued_ns"])
    assert abs(age_ns - ticks * tick_ns) <= 2 * tick_ns + 50_000_000
    assert row["issued_ns"] <= row["received_ns"] <= row["released_ns"]
    assert client.rig.probe.figures()["before_attach"] == 1
    assert losses(client) == {}
    assert len(client.rig.probe.in_flight()) == 0


def test_a_request_from_before_the_probes_that_is_only_released(client: FakeClient) -> None:
    """Lost in a reconnect, say."""
    server = client.server(0, 8, "s", "10.0.0.1")
    client.rig.track_since(time.monotonic_ns())
    mid = client.make_mid(0, server, READ, client.rig.arena.refresh_jiffies() - 100)
    client.release(mid, MidState.RETRY_NEEDED)
    row = only_row(client)
    assert row["flags"] & Flag.BEFORE_ATTACH
    assert row["outcome"] == Outcome.RETRY
    assert row["received_ns"] == 0


def test_an_answer_from_before_the_probes_is_no_loss(client: FakeClient) -> None:
    """It came before anyone looked, and its waiter has taken it: the status is told unseen."""
    server = client.server(0, 8, "s", "10.0.0.1")
    client.rig.track_since(time.monotonic_ns())
    mid = client.make_mid(0, server, CREATE, client.rig.arena.refresh_jiffies() - 100)
    client.release(mid, MidState.READY)
    row = only_row(client)
    assert row["outcome"] == Outcome.ANSWERED
    assert row["flags"] == Flag.BEFORE_ATTACH | Flag.STATUS_UNSEEN
    assert losses(client) == {}


def test_a_request_whose_allocation_was_skipped_is_rebuilt(client: FakeClient) -> None:
    """From its MID and its response: nothing is lost but the exact time of its beginning."""
    server = client.server(0, 8, "s", "10.0.0.1")
    client.rig.track_since(time.monotonic_ns() - 10 * SECOND)
    task = client.task(9, "writer")
    mid = client.make_mid(0, server, WRITE)
    client.set(mid, "creator", "=Q", task)
    client.receive(mid, ACCESS_DENIED)
    assert client.rig.probe.in_flight()["flags"].tolist() == [Flag.REBUILT]
    client.take_response(mid)
    client.release(mid, MidState.READY)
    row = only_row(client)
    assert row["flags"] == Flag.REBUILT
    assert (row["command"], row["message_id"]) == (WRITE, mid.message_id)
    assert (row["connection_id"], row["session_id"], row["tree_id"]) == (8, 77, 5)
    assert (row["pid"], row["tgid"], row["comm"]) == (4242, 9, b"writer")
    assert (row["status"], row["outcome"]) == (ACCESS_DENIED, Outcome.ANSWERED)
    assert client.rig.probe.figures()["rebuilt"] == 1
    assert losses(client) == {}


def test_a_request_of_which_only_the_end_is_seen_is_rebuilt(client: FakeClient) -> None:
    """An asynchronous one's response is still there."""
    server = client.server(0, 8, "s", "10.0.0.1")
    client.rig.track_since(time.monotonic_ns() - 10 * SECOND)
    mid = client.make_mid(0, server, READ)
    client.receive(mid, END_OF_FILE, payload_first=True, skipped=True)
    client.release(mid, MidState.RECEIVED)
    row = only_row(client)
    assert row["flags"] == Flag.REBUILT
    assert (row["status"], row["outcome"]) == (END_OF_FILE, Outcome.ANSWERED)
    assert losses(client) == {}


def test_a_response_that_nobody_saw_is_told(client: FakeClient) -> None:
    """A synchronous waiter took it, and `received` was skipped: no status is made up."""
    server = client.server(0, 8, "s", "10.0.0.1")
    mid = client.alloc(0, server, CREATE)
    client.receive(mid, ACCESS_DENIED, skipped=True)
    client.take_response(mid)
    client.release(mid, MidState.READY)
    row = only_row(client)
    assert (row["status"], row["outcome"]) == (0, Outcome.ANSWERED)
    assert row["flags"] == Flag.STATUS_UNSEEN
    assert row["received_ns"] == 0
    assert losses(client) == {"status_unseen": 1}


def test_more_in_flight_than_fit_are_recorded_all_the_same(rig: Rig) -> None:
    """What the map had no room for is rebuilt when it ends."""
    client = FakeClient(rig)
    rig.track_since(time.monotonic_ns() - 10 * SECOND)
    server = client.server(0, 8, "s", "10.0.0.1")
    row = np.zeros(1, EVENT)
    row["issued_ns"] = time.monotonic_ns()
    for number in range(IN_FLIGHT_MAX):
        take_slot(rig, number, row)
    mid = client.alloc(0, server, READ)
    client.receive(mid, END_OF_FILE, payload_first=True)
    client.release(mid, MidState.RECEIVED)
    found = only_row(client)
    assert (found["command"], found["status"]) == (READ, END_OF_FILE)
    assert found["flags"] == Flag.REBUILT
    assert losses(client)["map_full"] > 0


def test_a_request_whose_release_was_skipped_ends_with_the_next_of_its_mid(
    client: FakeClient,
) -> None:
    """It is recorded, as answered when it was received; the newer one is followed."""
    server = client.server(0, 1, "s", "10.0.0.1")
    first = client.alloc(0, server, WRITE)
    client.receive(first, ACCESS_DENIED)
    second = client.alloc(0, server, CREATE)
    former = only_row(client)
    assert (former["command"], former["status"]) == (WRITE, ACCESS_DENIED)
    assert former["outcome"] == Outcome.ANSWERED
    assert former["flags"] & Flag.REBUILT
    assert former["released_ns"] == former["received_ns"]
    client.receive(second)
    client.release(second, MidState.READY)
    assert only_row(client)["command"] == CREATE
    assert client.rig.probe.figures()["unreleased"] == 1
    assert losses(client) == {}


def test_a_release_and_the_next_allocation_skipped_lose_neither(client: FakeClient) -> None:
    """The MID's message id tells two requests apart."""
    client.rig.track_since(time.monotonic_ns() - 10 * SECOND)
    server = client.server(0, 1, "s", "10.0.0.1")
    first = client.alloc(0, server, WRITE)
    client.receive(first)
    second = client.make_mid(0, server, READ)
    client.release(second, MidState.RETRY_NEEDED)
    rows = client.rig.probe.read(10)
    assert rows["message_id"].tolist() == [first.message_id, second.message_id]
    assert rows["outcome"].tolist() == [Outcome.ANSWERED, Outcome.RETRY]
    assert len(client.rig.probe.in_flight()) == 0


def checked_table(rig: Rig) -> InFlightTable:
    """The requests in flight, those in flight for long looked after."""
    return InFlightTable(rig.maps[MapNumber.IN_FLIGHT], rig.programs["check_mid"])


@pytest.mark.parametrize("received", [True, False])
def test_a_free_mid_does_not_stay_in_flight(rig: Rig, *, received: bool) -> None:
    """Its release was skipped and nobody uses it again: it ends, and is recorded."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    waits = client.alloc(0, server, CREATE)
    gone = client.alloc(1, server, WRITE)
    if received:
        client.receive(gone, ACCESS_DENIED)
    client.free(gone)
    table = checked_table(rig)
    later_ns = time.monotonic_ns() + 10 * SECOND
    assert len(table.read(time.monotonic_ns())) == 2
    assert len(table.read(later_ns)) == 2
    assert len(table.read(later_ns)) == 2
    time.sleep(1.5 * CHECK_GRACE_NS / SECOND)
    table.read(later_ns)
    assert table.read(later_ns)["message_id"].tolist() == [waits.message_id]
    row = only_row(client)
    assert row["message_id"] == gone.message_id
    assert row["flags"] & Flag.REBUILT
    assert row["outcome"] == (Outcome.ANSWERED if received else Outcome.UNKNOWN)
    assert rig.probe.figures()["unreleased"] == 1


def home_of(mid: int) -> int:
    """The first slot where a MID is looked for (``bpf/smb_slots.h``)."""
    return (mid * 0x9E3779B97F4A7C15) % (1 << 64) * IN_FLIGHT_MAX >> 64


def test_of_two_requests_of_a_mid_the_older_one_ends(rig: Rig) -> None:
    """Its release was skipped, and the next one found a place before it."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    home = home_of(rig.arena.base + client.make_mid(0, server, WRITE).at)
    take_slot(rig, home, np.zeros(1, EVENT))
    older = client.alloc(0, server, WRITE)
    client.receive(older, ACCESS_DENIED)
    set_slot(rig, home, 0)
    newer = client.alloc(0, server, CREATE)
    table = checked_table(rig)
    later_ns = time.monotonic_ns() + 10 * SECOND
    assert len(table.read(later_ns)) == 2
    time.sleep(1.5 * CHECK_GRACE_NS / SECOND)
    table.read(later_ns)
    assert table.read(later_ns)["message_id"].tolist() == [newer.message_id]
    ended = only_row(client)
    assert (ended["message_id"], ended["status"]) == (older.message_id, ACCESS_DENIED)
    client.receive(newer)
    client.release(newer, MidState.READY)
    assert only_row(client)["message_id"] == newer.message_id
    assert len(table.read(later_ns)) == 0
    assert losses(client) == {}


def test_checks_take_turns(rig: Rig) -> None:
    """However many are in flight for long, a look costs the same, and each one gets its turn."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")
    for slot in range(100):
        client.free(client.alloc(slot, server, WRITE))
    table = checked_table(rig)
    later_ns = time.monotonic_ns() + 10 * SECOND
    for _ in range(2):
        table.read(later_ns)
    time.sleep(1.5 * CHECK_GRACE_NS / SECOND)
    table.read(later_ns)
    assert len(table.read(later_ns)) == 36
    assert len(table.read(later_ns)) == 0


def test_before_the_agent_says_since_when_everything_unseen_is_from_before(rig: Rig) -> None:
    """Between attaching release and alloc nothing counts as missed."""
    rig.track_since(0)
    client = FakeClient(rig)
    server = client.server(0, 8, "s", "10.0.0.1")
    client.release(client.make_mid(0, server, READ), MidState.RECEIVED)
    assert only_row(client)["flags"] & Flag.BEFORE_ATTACH


def test_a_failed_allocation_is_no_request(rig: Rig) -> None:
    """NULL is not a key."""
    rig.run("request_alloc", 0, 0, 0)
    assert len(rig.probe.in_flight()) == 0


def test_requests_end_with_the_last_reference(make_rig: Callable[..., Rig]) -> None:
    """Where freeing is inlined: no earlier drop, and only one row whoever comes last."""
    client = FakeClient(make_rig("5.15"))
    server = client.server(0, 1, "s", "10.0.0.1")
    mid = client.alloc(0, server, READ)
    client.receive(mid, END_OF_FILE, payload_first=True)
    client.put(mid, last=False)
    assert len(client.rig.probe.read(10)) == 0
    rows = client.rig.probe.in_flight()
    assert rows["outcome"].tolist() == [Outcome.IN_FLIGHT]
    assert rows["released_ns"].tolist() == [0]
    client.put(mid, last=True)
    client.rig.run("request_put_done", client.rig.arena.base + mid.at)
    assert only_row(client)["status"] == END_OF_FILE
    assert losses(client) == {}


def test_a_mid_freed_and_taken_again_at_once_loses_nothing(make_rig: Callable[..., Rig]) -> None:
    """Where freeing is inlined, its exit may come after the next allocation."""
    client = FakeClient(make_rig("5.15"))
    server = client.server(0, 1, "s", "10.0.0.1")
    first = client.alloc(0, server, READ)
    client.receive(first, payload_first=True)
    client.rig.run("request_put", client.rig.arena.base + first.at)
    second = client.alloc(0, server, WRITE)
    client.rig.run("request_put_done", client.rig.arena.base + first.at)
    client.receive(second)
    client.release(second, MidState.READY)
    assert client.rig.probe.read(10)["command"].tolist() == [READ, WRITE]
    assert losses(client) == {}


def test_trouble_tracepoints(rig: Rig) -> None:
    """Connection, session, tree and errno from the arguments; always urgent; success is none."""
    rig.run("smb3_reconnect", 55, 7, 0)
    rig.run("smb3_reconnect_detected", 56, 7, 0, 3, 0, 1)
    rig.run("smb3_ses_expired", 4, 88, CREATE, 57)
    rig.run("smb3_tcon", 1, 4, 88, 0, 0)
    rig.run("smb3_tcon", 1, 4, 88, 0, (-13) & 0xFFFFFFFF)
    rig.run("smb3_connect_err", 0, 7, 0, (-111) & 0xFFFFFFFF)
    rig.run("smb3_lease_not_found", 1, 4, 88, 0, 0)
    rows = rig.probe.read(100)
    assert rows["kind"].tolist() == [
        Kind.RECONNECT,
        Kind.RECONNECT_DETECTED,
        Kind.SESSION_EXPIRED,
        Kind.TREE_CONNECT_FAILED,
        Kind.CONNECT_ERROR,
        Kind.LEASE_NOT_FOUND,
    ]
    assert rows["connection_id"].tolist() == [7, 7, 0, 0, 7, 0]
    assert rows["message_id"].tolist() == [55, 56, 57, 0, 0, 0]
    assert rows["session_id"].tolist() == [0, 0, 88, 88, 0, 88]
    assert rows["tree_id"].tolist() == [0, 0, 4, 4, 0, 4]
    assert rows["status"].tolist() == [0, 3, 0, 13, 111, 0]
    assert (rows["flags"] == Flag.URGENT).all()
    assert (rows["issued_ns"] == rows["released_ns"]).all()
    assert (rows["tgid"] == os.getpid()).all()


def test_the_newer_lease_tracepoint(make_rig: Callable[..., Rig]) -> None:
    """Flags and epoch moved its arguments."""
    rig = make_rig("7.2")
    rig.run("smb3_lease_not_found_epoch", 1, 2, 3, 4, 88, 0, 0)
    row = rig.probe.read(10)[0]
    assert (row["kind"], row["tree_id"], row["session_id"]) == (Kind.LEASE_NOT_FOUND, 4, 88)
