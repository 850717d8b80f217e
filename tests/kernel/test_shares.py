# SPDX-License-Identifier: MIT
"""Tree ids and their shares, walked in memory that looks like the client's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from aodasync.probes import bpf
from aodasync.probes.preparation import METHODS
from aodasync.probes.share_table import ShareTable
from aodasync.probes.shared import WALK_STEPS, MapNumber
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.fake_client import FakeClient
from tests.kernel.rig import Rig
from tests.unit.probes.kernel_types import KERNELS

READ = COMMAND_CODES["SMB2_READ"]
TREES = {
    2**60 + 1: {1: "\\\\nas\\IPC$", 5: "\\\\nas\\home", 6: "\\\\nas\\data"},
    78: {1: "\\\\nas\\IPC$", 5: "\\\\nas\\other"},
}
EXPECTED = {
    (2**60 + 1, 1): "//nas/IPC$",
    (2**60 + 1, 5): "//nas/home",
    (2**60 + 1, 6): "//nas/data",
    (78, 1): "//nas/IPC$",
    (78, 5): "//nas/other",
}


@pytest.fixture(params=sorted(KERNELS))
def client(request: pytest.FixtureRequest, make_rig: Callable[..., Rig]) -> FakeClient:
    """A client with the types of each kernel."""
    return FakeClient(make_rig(request.param))


def test_trees_from_before_the_probes_are_found(client: FakeClient) -> None:
    """One request tells the connection; its sessions and trees are walked from there."""
    server = client.server(0, 12, "nas", "10.0.0.1")
    client.connect_trees(server, TREES)
    assert client.rig.probe.shares() == {}
    client.alloc(0, server, READ)
    assert client.rig.probe.shares() == EXPECTED


def test_a_tree_that_went_is_still_known(rig: Rig) -> None:
    """Recorded requests outlive a umount; a tree with a new id is another one."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    client.connect_trees(server, TREES)
    client.alloc(0, server, READ)
    rig.probe.shares()
    client.connect_trees(server, {90: {1: "\\\\nas\\IPC$", 2: "\\\\nas\\new"}})
    assert rig.probe.shares() == EXPECTED | {(90, 1): "//nas/IPC$", (90, 2): "//nas/new"}


def test_a_connection_that_is_another_by_now_is_not_walked(rig: Rig) -> None:
    """The client reuses memory: the id there must be the one that was noted."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    client.alloc(0, server, READ)
    client.server(0, 13, "elsewhere", "10.0.0.2")
    client.connect_trees(server, TREES)
    assert rig.probe.shares() == {}


def test_a_tree_that_does_not_point_back_ends_the_walk(rig: Rig) -> None:
    """LearntState freed meanwhile is not believed; what was found before stays."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    trees = client.connect_trees(server, TREES)
    rig.arena.write(trees[1] - rig.arena.base + client.layout["TCON_ses"], "=Q", 0xDEAD)
    client.alloc(0, server, READ)
    assert rig.probe.shares() == {(2**60 + 1, 1): "//nas/IPC$"}


def test_a_list_that_never_ends_ends_the_walk(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded, and cheap enough for the event loop."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    trees = client.connect_trees(server, TREES)
    at = client.layout["TCON_tcon_list"]
    rig.arena.write(trees[1] - rig.arena.base + at, "=Q", trees[1] + at)
    walker, run_program, runs = rig.programs["walk_trees"], bpf.run, []

    def run(program_fd: int, arguments: Sequence[int]) -> int:
        runs.append(run_program(program_fd, arguments))
        return runs[-1]

    monkeypatch.setattr(bpf, "run", run)
    ShareTable(rig.maps[MapNumber.TREES], walker).read({12: rig.arena.base + server})
    assert runs == [WALK_STEPS] * (256 // WALK_STEPS)


def test_a_connection_of_many_trees_is_walked_in_stretches(rig: Rig) -> None:
    """Each run goes on where the last one stopped, within a session and between two."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    trees = {
        session: {tree: f"\\\\nas\\{session}-{tree}" for tree in range(1, count + 1)}
        for session, count in ((77, WALK_STEPS - 1), (78, WALK_STEPS + 5), (79, 2))
    }
    client.connect_trees(server, trees)
    client.alloc(0, server, READ)
    assert rig.probe.shares() == {
        (session, tree): name.replace("\\", "/")
        for session, names in trees.items()
        for tree, name in names.items()
    }


def test_a_connection_without_sessions_has_no_trees(rig: Rig) -> None:
    """Before its first session; addresses that cannot be read are no error either."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    assert bpf.run(rig.programs["walk_trees"], (rig.arena.base + server, 12, 0)) == 0
    assert bpf.run(rig.programs["walk_trees"], (0xFFFF_8000_0000_0000, 12, 0)) == 0


@pytest.mark.parametrize("method", METHODS[:2])
def test_a_tree_that_is_connected_is_known_at_once(
    make_rig: Callable[..., Rig], method: str
) -> None:
    """When the client has its id; one that could not be connected is none."""
    client = FakeClient(make_rig(method=method))
    server = client.server(0, 12, "nas", "10.0.0.1")
    ipc, home, data, *_ = client.connect_trees(server, TREES)
    client.tree_connected(home, 0)
    client.tree_connected(data, (-13) & 0xFFFFFFFF)
    assert client.rig.probe.shares() == {(2**60 + 1, 5): "//nas/home"}
    client.tree_connected(ipc, 0)
    assert len(client.rig.probe.shares()) == 2


def test_a_closed_probe_still_knows_its_shares(rig: Rig) -> None:
    """The last bundle is written after the probe is gone."""
    client = FakeClient(rig)
    trees = client.connect_trees(client.server(0, 12, "nas", "10.0.0.1"), TREES)
    client.tree_connected(trees[1], 0)
    rig.probe.shares()
    rig.probe.close()
    assert rig.probe.shares() == {(2**60 + 1, 5): "//nas/home"}


def test_shares_are_read_fast_enough_for_the_event_loop(rig: Rig) -> None:
    """With a connection of many trees: a walk and a scan."""
    client = FakeClient(rig)
    server = client.server(0, 12, "nas", "10.0.0.1")
    client.connect_trees(server, TREES)
    client.alloc(0, server, READ)
    took_ms = []
    for _ in range(20):
        start = time.thread_time()
        assert len(rig.probe.shares()) == 5
        took_ms.append((time.thread_time() - start) * 1e3)
    print(f"shares: median {sorted(took_ms)[10]:.3f} ms")
    assert sorted(took_ms)[10] < 5
