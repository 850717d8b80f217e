# SPDX-License-Identifier: MIT
"""Manifests are plain JSON and say everything; requests in flight are readable."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aodasync.actions import ActionResult
from aodasync.bundle.json_tables import describe_in_flight
from aodasync.bundle.jsonvalues import plain
from aodasync.bundle.manifest import build_manifest, dump
from aodasync.events import EVENT, Flag, Kind
from aodasync.evidence.model import ClockPair, Connection, Snapshot, Trigger
from aodasync.verdict.judge import NOT_JUDGED
from tests.builders import MS, finding, latency_anomaly, request, requests

_FINDING = finding(max_latency_ms=math.inf)
_RESULT = ActionResult(
    name="dmesg",
    file="dmesg.log",
    argv=("dmesg",),
    path="",
    exit_code=0,
    duration_ms=1.23456,
    bytes=10,
    truncated=False,
    timed_out=False,
    abandoned=False,
    error="",
)


_AFTER = Snapshot(
    ClockPair(12, 3),
    connections={1: Connection(1, "nas", "10.0.0.1", 445)},
    losses={"ring_full": 3},
    figures={"operations_full": 4},
    facts={"agent": {"version": "1"}, "kernel": {"release": "6.1"}, "probe": None},
)


def _manifest(
    after: Mapping[str, Any] = MappingProxyType({}), **changes: object
) -> dict[str, object]:
    arguments: dict[str, object] = {
        "bundle": "aod_quick_1_latency",
        "trigger": Trigger("latency", _FINDING, ("dmesg",), 10, 1, 7),
        "anomaly": latency_anomaly(named_commands=frozenset({"SMB2_READ"})),
        "live": True,
        "verdict": NOT_JUDGED,
        "actions": [_RESULT],
        "rows": requests(request(released_ns=30 * MS), request(released_ns=50 * MS)),
        "before": Snapshot(ClockPair(11, 2), in_flight=request(released_ns=50 * MS)),
        "after": replace(_AFTER, **after),
        "truncations": [],
        **changes,
    }
    written = json.loads(dump(build_manifest(**arguments)))  # type: ignore[arg-type]
    assert isinstance(written, dict)
    return written


def test_manifest_states_anomaly_with_thresholds_and_figures() -> None:
    """Observed figures stand beside the configuration that they were held against."""
    anomaly = _manifest()["anomaly"]
    assert isinstance(anomaly, dict)
    assert (anomaly["name"], anomaly["type"], anomaly["count"]) == ("latency", "latency", 4)
    assert anomaly["episode"] == 7
    assert anomaly["max_latency_ms"] is None  # JSON has no infinity
    assert anomaly["configured"]["thresholds_ms"]["SMB2_READ"] == 10.0
    assert anomaly["configured"]["named_commands"] == ["SMB2_READ"]


def test_snapshot_has_no_finding() -> None:
    """A bundle that somebody asked for states no figures."""
    manifest = _manifest(trigger=Trigger("snapshot", None, (), 10, 1, 0), anomaly=None)
    assert manifest["episode"] is None
    assert manifest["anomaly"] == {
        "name": "snapshot",
        "type": "snapshot",
        "episode": 0,
        "configured": None,
    }


def test_an_open_episode_has_no_end_and_its_usual_latency() -> None:
    """Began by both clocks; worst as recorded later on; usual as it was before it began."""
    began_ns = 100 * MS
    trigger = replace(
        Trigger("latency", finding(first_ns=began_ns, commands=("SMB2_READ",)), (), 0, 0, 7),
        decided_monotonic_ns=200 * MS,
        decided_realtime_ns=1200 * MS,
    )
    rows = requests(
        request("SMB2_READ", released_ns=50 * MS, latency_ns=2 * MS),
        request("SMB2_WRITE", released_ns=60 * MS, latency_ns=50 * MS),
        request("SMB2_READ", released_ns=300 * MS, latency_ns=90 * MS),
        request("SMB2_READ", released_ns=300 * MS, latency_ns=99 * MS, connection_id=2),
    )
    assert _manifest(trigger=trigger, rows=rows)["episode"] == {
        "number": 7,
        "open": True,
        "began_monotonic_ns": began_ns,
        "began_realtime_ns": 1100 * MS,
        "ended_monotonic_ns": None,
        "ended_realtime_ns": None,
        "worst_ms": 90.0,
        "usual_ms": 2.0,
    }


def test_an_episode_that_ended_says_when() -> None:
    """The bundle of its end; without requests of before, what is usual is not known."""
    over = finding(first_ns=100 * MS, last_ns=150 * MS)
    trigger = Trigger("latency", over, (), 200 * MS, 1200 * MS, 7, at_end=True)
    episode = _manifest(trigger=trigger, rows=requests())["episode"]
    assert isinstance(episode, dict)
    assert (episode["open"], episode["usual_ms"]) == (False, None)
    assert (episode["ended_monotonic_ns"], episode["ended_realtime_ns"]) == (150 * MS, 1150 * MS)


def test_mounts_are_listed_with_their_usability() -> None:
    """As the agent judged them; none where none is known."""
    mounts = [{"mount_point": "/m", "source": "//nas/a", "usable": False, "why": "reconnecting"}]
    assert _manifest({"facts": {"mounts": mounts}})["mounts"] == mounts
    assert _manifest()["mounts"] == []


def test_manifest_describes_its_events() -> None:
    """Dtype, count, span and the names of numbers make events.npy readable for ever."""
    events = _manifest()["events"]
    assert isinstance(events, dict)
    assert np.dtype([(name, kind) for name, kind in events["dtype"]]) == EVENT
    assert (events["count"], events["first_ns"], events["last_ns"]) == (2, 29 * MS, 50 * MS)
    assert events["kinds"]["0"] == "request"
    assert events["outcomes"]["1"] == "retry"
    assert events["flags"]["1"] == "async_response"


def test_manifest_of_no_events_spans_nothing() -> None:
    """An empty recorder is stated as one."""
    events = _manifest(rows=requests())["events"]
    assert isinstance(events, dict)
    assert (events["count"], events["first_ns"], events["last_ns"]) == (0, 0, 0)


def test_action_entries_have_the_documented_shape() -> None:
    """A command has argv, a file that was read a path; no error is null."""
    assert _manifest()["actions"] == [
        {
            "name": "dmesg",
            "file": "dmesg.log",
            "argv": ["dmesg"],
            "exit_code": 0,
            "duration_ms": 1.235,
            "bytes": 10,
            "truncated": False,
            "timed_out": False,
            "error": None,
        }
    ]


def test_facts_never_displace_the_manifests_own() -> None:
    """A fact of the name of a key gives way to it; the version comes first."""
    manifest = _manifest({"facts": {"schema_version": 99, "events": "mine", "kernel": "k"}})
    assert next(iter(manifest)) == "schema_version"
    assert manifest["schema_version"] == 2
    assert manifest["kernel"] == "k"
    assert manifest["events"] != "mine"


def test_shares_are_listed_by_session_and_tree() -> None:
    """Session ids as strings, which no JSON reader rounds; none without any."""
    manifest = _manifest({"shares": {(2**60 + 1, 5): "//nas/home"}})
    assert manifest["shares"] == [
        {"session_id": "0x1000000000000001", "tree_id": 5, "share": "//nas/home"}
    ]
    assert _manifest()["shares"] == []


def test_connections_and_clocks_are_there() -> None:
    """Connections with their credits, and the pair of clocks that relates their times."""
    manifest = _manifest(before=Snapshot(ClockPair(11, 2), credits={1: 512, 2: 1}))
    assert manifest["connections"] == [
        {
            "connection_id": 1,
            "server": "nas",
            "address": "10.0.0.1",
            "port": 445,
            "is_smb1": False,
            "netns": 0,
            "credits": 512,
        }
    ]
    assert manifest["clock"] == {"monotonic_ns": 11, "realtime_ns": 2}
    assert manifest["losses"] == {"ring_full": 3}
    assert manifest["counters"] == {"operations_full": 4}


def test_a_table_that_could_not_be_read_is_named() -> None:
    """It costs one entry; a manifest of tables that were all read has none."""
    errors = {"shares": "lookup_batch: ENOMEM"}
    assert _manifest({"errors": errors})["unreadable"] == errors
    assert _manifest()["unreadable"] == {}


_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from([Kind.EIO, Flag.SIGNED, Path("/x"), np.uint64(2**64 - 1), object()])
)


@given(
    st.recursive(
        _leaves,
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.integers(), inner),
        max_leaves=20,
    )
)
def test_any_value_becomes_json(value: object) -> None:
    """No value, however odd, costs a manifest."""
    assert json.loads(dump(value)) == plain(value)


def test_requests_in_flight_are_readable() -> None:
    """Age, command, hexadecimal session, the server by name, and who waits."""
    rows = request("SMB2_WRITE", released_ns=0, latency_ns=0)
    rows["issued_ns"], rows["session_id"], rows["pid"] = 5 * MS, 0xAB, 42
    rows["flags"] = Flag.SIGNED | Flag.COMPOUND
    rows["comm"] = b"\xff fio"
    connections = {1: Connection(1, "nas", "10.0.0.1", 445)}
    (entry,) = describe_in_flight(rows, connections, {(0xAB, 0): "//nas/home"}, 25 * MS)
    assert entry["share"] == "//nas/home"
    assert entry["age_ms"] == 20.0
    assert (entry["command"], entry["session_id"]) == ("SMB2_WRITE", "0x00000000000000ab")
    assert (entry["server"], entry["pid"], entry["comm"]) == (
        "nas",
        42,
        "\N{REPLACEMENT CHARACTER} fio",
    )
    assert entry["flags"] == ["compound", "signed"]
    assert describe_in_flight(rows, {}, {}, 25 * MS)[0]["server"] == ""
    json.loads(dump([entry]))
