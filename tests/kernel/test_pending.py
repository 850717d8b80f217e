# SPDX-License-Identifier: MIT
"""Requests that were on their way before the probes, walked in memory like the client's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aodasync.events import Flag, MidState, Outcome
from aodasync.probes.client_lists import ClientLists, ListLayout, Walker
from aodasync.probes.preparation import METHODS
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.fake_client import FakeClient, Mid
from tests.kernel.rig import Rig
from tests.unit.probes.kernel_types import KERNELS

READ = COMMAND_CODES["SMB2_READ"]
WRITE = COMMAND_CODES["SMB2_WRITE"]
AGE_SEC = 7
TICK_NS = round(time.clock_getres(6) * 1e9)


@pytest.fixture(params=[(version, by) for version in sorted(KERNELS) for by in METHODS[:2]])
def client(request: pytest.FixtureRequest, make_rig: Callable[..., Rig]) -> FakeClient:
    """A client with the types of each kernel, looked at by fentry and by kprobe."""
    version, method = request.param
    return attached_now(FakeClient(make_rig(version, method=method)))


def attached_now(client: FakeClient) -> FakeClient:
    """As if the probes had been attached this moment."""
    client.rig.track_since(time.monotonic_ns())
    return client


def walker(client: FakeClient, layout: ListLayout) -> ClientLists:
    """Walks this client's lists."""
    names = ("read_word", "note_connection", "adopt_mid")
    return ClientLists(layout, Walker(*(client.rig.programs[name] for name in names)))


def hanging(client: FakeClient, slot: int, server: int, command: int = READ) -> Mid:
    """A request that was sent AGE_SEC ago."""
    ticks = AGE_SEC * 10**9 // TICK_NS
    mid = client.make_mid(slot, server, command, client.rig.arena.refresh_jiffies() - ticks)
    client.set(mid, "mid_state", "=I", MidState.SUBMITTED)
    client.set(mid, "creator", "=Q", client.task(4200, "reader"))
    return mid


def figures(client: FakeClient, *names: str) -> Mapping[str, int]:
    """Counters of those names."""
    found = client.rig.probe.figures()
    return {name: found[name] for name in names}


def test_what_hangs_already_is_in_flight(client: FakeClient) -> None:
    """Of each connection, with issuer, server and age, and marked as from before."""
    first = client.server(0, 12, "nas", "10.0.0.1")
    second = client.server(1, 13, "other", "10.0.0.2")
    layout = client.list_connections(first, second)
    client.list_requests(first, hanging(client, 0, first), hanging(client, 1, first, WRITE))
    client.list_requests(second, hanging(client, 2, second))
    lists = walker(client, layout)
    lists.take_in()
    rows = client.rig.probe.in_flight()
    assert sorted(zip(rows["connection_id"].tolist(), rows["command"].tolist(), strict=True)) == [
        (12, READ),
        (12, WRITE),
        (13, READ),
    ]
    assert set(rows["pid"].tolist()) == {4242}
    assert set(rows["tgid"].tolist()) == {4200}
    assert set(rows["comm"].tolist()) == {b"reader"}
    assert (rows["flags"] == Flag.BEFORE_ATTACH).all()
    ages_sec = (time.monotonic_ns() - rows["issued_ns"].astype(np.int64)) / 1e9
    assert ((ages_sec > AGE_SEC - 0.1) & (ages_sec < AGE_SEC + 2)).all()
    servers = {number: each.server for number, each in client.rig.probe.connections().items()}
    assert servers == {12: "nas", 13: "other"}
    assert lists.cut == 0
    assert figures(client, "before_attach") == {"before_attach": 3}


def test_what_was_taken_in_ends_as_any_other(client: FakeClient) -> None:
    """Answered at last: one row, with the status and from before."""
    server = client.server(0, 12, "nas", "10.0.0.1")
    mid = hanging(client, 0, server)
    layout = client.list_connections(server)
    client.list_requests(server, mid)
    walker(client, layout).take_in()
    client.receive(mid, 0xC0000011, payload_first=True)
    client.release(mid)
    (row,) = client.rig.probe.read(10)
    assert (row["status"], row["outcome"]) == (0xC0000011, Outcome.ANSWERED)
    assert row["flags"] & Flag.BEFORE_ATTACH
    assert row["released_ns"] - row["issued_ns"] > (AGE_SEC - 0.1) * 1e9
    assert len(client.rig.probe.in_flight()) == 0


def test_credits_are_those_of_connections_that_are_there(client: FakeClient) -> None:
    """Also negative ones; memory that is another connection's by now says nothing."""
    first = client.server(0, 12, "nas", "10.0.0.1")
    second = client.server(1, 13, "other", "10.0.0.2")
    layout = client.list_connections(first, second)
    for server, granted in ((first, 511), (second, -1)):
        client.rig.arena.write(server + layout.credits, "=i", granted)
    lists = walker(client, layout)
    at = {number: client.rig.arena.base + server for number, server in ((12, first), (13, second))}
    assert lists.credits(at) == {12: 511, 13: -1}
    assert lists.credits({12: at[13], 13: 4096}) == {}
    assert walker(client, replace(layout, credits=-1)).credits(at) == {}


def test_a_request_that_is_followed_is_not_taken_in_again(client: FakeClient) -> None:
    """Its allocation was seen, and its row stays as it is; so does one of an earlier walk."""
    server = client.server(0, 12, "nas", "10.0.0.1")
    mids = client.alloc(0, server, READ), hanging(client, 1, server)
    layout = client.list_connections(server)
    client.list_requests(server, *mids)
    lists = walker(client, layout)
    lists.take_in()
    before = client.rig.probe.in_flight()
    lists.take_in()
    assert (client.rig.probe.in_flight() == before).all()
    assert before["flags"].tolist() == [Flag.BEFORE_ATTACH, 0]


def test_a_free_mid_is_not_taken_in(client: FakeClient) -> None:
    """It is about to leave the list; nothing would ever end it."""
    server = client.server(0, 12, "nas", "10.0.0.1")
    gone, stays = hanging(client, 0, server), hanging(client, 1, server)
    client.free(gone)
    layout = client.list_connections(server)
    client.list_requests(server, gone, stays)
    walker(client, layout).take_in()
    assert client.rig.probe.in_flight()["message_id"].tolist() == [stays.message_id]


@pytest.mark.parametrize("wrong", ["back", "self", "unreadable"])
def test_a_list_that_changes_under_the_walk_is_given_up(rig: Rig, wrong: str) -> None:
    """After some tries, which is counted; what came before stays."""
    client = attached_now(FakeClient(rig))
    server = client.server(0, 12, "nas", "10.0.0.1")
    mids = [hanging(client, slot, server) for slot in range(3)]
    layout = client.list_connections(server)
    client.list_requests(server, *mids)
    link, base = mids[1].at + layout.next_request, rig.arena.base
    if wrong == "back":
        rig.arena.write(link + 8, "=Q", base)
    else:
        rig.arena.write(link, "=Q", base + link if wrong == "self" else 0xDEAD000000000100)
    lists = walker(client, layout)
    lists.take_in()
    assert lists.cut == 1
    seen = sorted(rig.probe.in_flight()["message_id"].tolist())
    assert seen == [mid.message_id for mid in mids[: 1 if wrong == "back" else 2]]  # a hash map


def test_a_walk_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that never comes back to its head, though each entry points back."""
    monkeypatch.setattr("aodasync.probes.client_lists.IN_FLIGHT_MAX", 5)
    client = attached_now(FakeClient(rig))
    server = client.server(0, 12, "nas", "10.0.0.1")
    mids = [hanging(client, slot, server) for slot in range(8)]
    layout = client.list_connections(server)
    client.list_requests(server, *mids)
    lists = walker(client, layout)
    lists.take_in()
    assert lists.cut == 1
    assert len(rig.probe.in_flight()) == 5


def test_without_the_list_of_connections_each_is_walked_once_it_is_known(rig: Rig) -> None:
    """A connection's next request, an ECHO at the latest, names it."""
    client = attached_now(FakeClient(rig))
    server = client.server(0, 12, "nas", "10.0.0.1")
    mid = hanging(client, 0, server)
    layout = replace(client.list_connections(server), connections=0)
    client.list_requests(server, mid)
    lists = walker(client, layout)
    lists.take_in()
    assert len(rig.probe.in_flight()) == 0
    lists.take_in_new({12: rig.arena.base + server})
    assert rig.probe.in_flight()["message_id"].tolist() == [mid.message_id]
    client.list_requests(server, mid, hanging(client, 1, server))
    lists.take_in_new({12: rig.arena.base + server})
    assert len(rig.probe.in_flight()) == 1


def test_smb1_is_left_out(client: FakeClient) -> None:
    """Neither in flight nor recorded, but counted; its connection is known as what it is."""
    server = client.server(0, 12, "old", "10.0.0.1")
    client.speak_smb1(server)
    before, later = hanging(client, 0, server), client.make_mid(1, server, 0x2E)
    layout = client.list_connections(server)
    client.list_requests(server, before)
    walker(client, layout).take_in()
    assert len(client.rig.probe.in_flight()) == 0
    for mid in before, later:
        client.receive(mid)
        client.release(mid)
    assert len(client.rig.probe.read(10)) == 0
    assert client.rig.probe.connections()[12].is_smb1
    assert figures(client, "smb1_skipped", "rebuilt", "before_attach") == {
        "smb1_skipped": 2,
        "rebuilt": 0,
        "before_attach": 0,
    }


def test_an_smb1_connection_from_later_is_known_by_its_first_answer(client: FakeClient) -> None:
    """No request of it is seen to begin."""
    server = client.server(0, 12, "old", "10.0.0.1")
    client.speak_smb1(server)
    mid = client.make_mid(0, server, 0x72)
    client.receive(mid)
    client.release(mid)
    connections: Mapping[int, Any] = client.rig.probe.connections()
    assert {number: each.is_smb1 for number, each in connections.items()} == {12: True}


def test_taking_in_a_thousand_requests_takes_a_fraction_of_a_second(rig: Rig) -> None:
    """Walked over again and again: the time of one is that of its five runs."""
    client = attached_now(FakeClient(rig))
    server = client.server(0, 12, "nas", "10.0.0.1")
    mids = [hanging(client, slot, server) for slot in range(20)]
    layout = client.list_connections(server)
    client.list_requests(server, *mids)
    lists = walker(client, layout)
    begun = time.perf_counter()
    for _ in range(50):
        lists.take_in()
    took_ms = (time.perf_counter() - begun) * 1e3
    print(f"1,000 requests walked in {took_ms:.1f} ms")
    assert took_ms < 500
    assert len(rig.probe.in_flight()) == 20
