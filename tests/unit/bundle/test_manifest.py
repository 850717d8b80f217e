# SPDX-License-Identifier: MIT
"""Manifests are plain JSON and say everything; requests in flight are readable."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aodasync.actions import ActionResult
from aodasync.bundle.inflight import describe_in_flight
from aodasync.bundle.jsonvalues import plain
from aodasync.bundle.judging import UNDECIDED
from aodasync.bundle.manifest import ClockPair, build_manifest, dump
from aodasync.events import EVENT, Flag, Kind
from aodasync.evidence import Connection, Finding, Trigger
from tests.unit.builders import MS, latency_anomaly, request, requests

_FINDING = Finding(
    anomaly="latency",
    type="latency",
    server="nas",
    commands=("SMB2_READ",),
    codes=(),
    count=4,
    acceptable_count=3,
    threshold_ms=10.0,
    max_latency_ms=math.inf,
    first_ns=5,
    last_ns=9,
    emergency=False,
)
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


def _manifest(**changes: object) -> dict[str, object]:
    arguments: dict[str, object] = {
        "bundle": "aod_quick_1_latency",
        "trigger": Trigger("latency", _FINDING, ("dmesg",), 10, 1, 7),
        "anomaly": latency_anomaly(named_commands=frozenset({"SMB2_READ"})),
        "facts": {"agent": {"version": "1"}, "kernel": {"release": "6.1"}, "probe": None},
        "live": True,
        "verdict": UNDECIDED,
        "actions": [_RESULT],
        "rows": requests(request(released_ns=30 * MS), request(released_ns=50 * MS)),
        "in_flight": 2,
        "losses": {"ring_full": 3},
        "connections": {1: Connection(1, "nas", "10.0.0.1", 445)},
        "started": ClockPair(11, 2),
        "ended": ClockPair(12, 3),
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
    assert manifest["anomaly"] == {
        "name": "snapshot",
        "type": "snapshot",
        "episode": 0,
        "configured": None,
    }


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
    manifest = _manifest(facts={"schema_version": 99, "events": "mine", "kernel": "k"})
    assert next(iter(manifest)) == "schema_version"
    assert manifest["schema_version"] == 1
    assert manifest["kernel"] == "k"
    assert manifest["events"] != "mine"


def test_shares_are_listed_by_session_and_tree() -> None:
    """Session ids as strings, which no JSON reader rounds; none without any."""
    manifest = _manifest(shares={(2**60 + 1, 5): "//nas/home"})
    assert manifest["shares"] == [
        {"session_id": "0x1000000000000001", "tree_id": 5, "share": "//nas/home"}
    ]
    assert _manifest()["shares"] == []


def test_connections_and_clocks_are_there() -> None:
    """Connections by number, and the pair of clocks that relates their times."""
    manifest = _manifest()
    assert manifest["connections"] == [
        {"connection_id": 1, "server": "nas", "address": "10.0.0.1", "port": 445}
    ]
    assert manifest["clock"] == {"monotonic_ns": 11, "realtime_ns": 2}
    assert manifest["losses"] == {"ring_full": 3}


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
