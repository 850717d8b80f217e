# SPDX-License-Identifier: MIT
"""Makers of events and configurations for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aodasync.config.model import (
    Anomaly,
    Audit,
    Cleanup,
    Collector,
    Config,
    ConnectionAnomaly,
    DriftAnomaly,
    ErrorAnomaly,
    HangAnomaly,
    LatencyAnomaly,
    Recorder,
)
from aodasync.detection.connections import Connections
from aodasync.detection.detector import Context, View
from aodasync.events import (
    EVENT,
    NO_OPERATIONS,
    EventArray,
    Kind,
    OperationArray,
    Outcome,
)
from aodasync.evidence.model import Finding, Symptom
from aodasync.host.tcp_sockets import TcpSocket
from aodasync.smb.commands import COMMAND_CODES, COMMANDS

MS = 1_000_000
SECOND = 1_000_000_000


def context(*anomalies: Anomaly, server_of: Callable[[int], str] = str) -> Context:
    """What the detectors of these anomalies share; one-second windows."""
    return Context(SECOND, Connections(server_of), anomalies)


def view(
    now_ns: int, in_flight: EventArray | None = None, operations: OperationArray = NO_OPERATIONS
) -> View:
    """What is there at this time; nothing, unless given."""
    return View(now_ns, requests() if in_flight is None else in_flight, operations)


def request(
    command: str | int = "SMB2_READ", *, released_ns: int, latency_ns: int = MS, **fields: Any
) -> EventArray:
    """One answered request, as an array of one row."""
    row = np.zeros(1, EVENT)
    row["command"] = COMMAND_CODES[command] if isinstance(command, str) else command
    row["issued_ns"] = released_ns - latency_ns
    row["released_ns"] = released_ns
    row["connection_id"] = 1
    row["comm"] = b"test"
    for name, value in fields.items():
        row[name] = value
    return row


def requests(*rows: EventArray) -> EventArray:
    """Rows joined."""
    return np.concatenate(rows) if rows else np.zeros(0, EVENT)


def latency_anomaly(**changes: Any) -> LatencyAnomaly:
    """Mode all, 10 ms, 3 a window."""
    anomaly = LatencyAnomaly(
        name="latency",
        thresholds_ms=dict.fromkeys(COMMANDS, 10.0),
        named_commands=frozenset(),
        acceptable_count=3,
        emergency_threshold_ms=1000.0,
        actions=("dmesg",),
        cooldown_sec=60.0,
    )
    return replace(anomaly, **changes)


def error_anomaly(**changes: Any) -> ErrorAnomaly:
    """EACCES and EIO, 3 a window."""
    anomaly = ErrorAnomaly(
        name="error",
        codes=("EACCES", "EIO"),
        statuses=(),
        excluded_statuses=frozenset(),
        named_codes=frozenset({"EACCES", "EIO"}),
        acceptable_count=3,
        actions=("dmesg", "journalctl"),
        cooldown_sec=60.0,
    )
    return replace(anomaly, **changes)


def hang_anomaly(**changes: Any) -> HangAnomaly:
    """Five seconds, as configured by default."""
    anomaly = HangAnomaly(name="hang", age_ms=5000.0, actions=("dmesg",), cooldown_sec=60.0)
    return replace(anomaly, **changes)


def connection_anomaly(**changes: Any) -> ConnectionAnomaly:
    """One trouble is enough, as configured by default."""
    anomaly = ConnectionAnomaly(
        name="connection", acceptable_count=1, actions=("dmesg",), cooldown_sec=60.0
    )
    return replace(anomaly, **changes)


def drift_anomaly(**changes: Any) -> DriftAnomaly:
    """As configured by default."""
    anomaly = DriftAnomaly(name="drift", actions=("dmesg",), cooldown_sec=60.0)
    return replace(anomaly, **changes)


_SYMPTOMS = {
    "hang": Symptom.WAITING,
    "error": Symptom.STATUS,
    "connection": Symptom.CONNECTION,
}


def tcp_socket(**changes: Any) -> TcpSocket:
    """A healthy one to 10.0.0.1, unless the changes say otherwise."""
    base = TcpSocket(
        cookie=7,
        address="10.0.0.1",
        port=445,
        established=True,
        rtt_ms=0.4,
        retransmits=0,
        out_of_order=0,
        backoff=0,
        unacked=0,
        unread_bytes=0,
        quiet_ms=5,
    )
    return replace(base, **changes)


def finding(type_: str = "latency", **changes: Any) -> Finding:
    """Four slow READs on ``nas``, unless the type or the changes say otherwise."""
    base = Finding(
        anomaly=type_,
        type=type_,
        symptom=_SYMPTOMS.get(type_, Symptom.SLOW),
        server="nas",
        connections=(1,),
        commands=("SMB2_READ",),
        codes=(),
        count=4,
        acceptable_count=3,
        threshold_ms=10.0,
        max_latency_ms=77.5,
        first_ns=5,
        last_ns=9,
        emergency=False,
        grave=type_ in ("hang", "connection"),
    )
    return replace(base, **changes)


def trouble(kind: Kind, *, at_ns: int, **fields: Any) -> EventArray:
    """One trouble event, as an array of one row."""
    return request(0, released_ns=at_ns, latency_ns=0, **{"kind": int(kind), **fields})


def in_flight(command: str = "SMB2_READ", *, issued_ns: int, **fields: Any) -> EventArray:
    """One request in flight, as an array of one row."""
    fields = {"issued_ns": issued_ns, "outcome": Outcome.IN_FLIGHT, **fields}
    return request(command, released_ns=0, latency_ns=0, **fields)


def config(*anomalies: Anomaly, output_dir: Path = Path("/nonexistent"), **changes: Any) -> Config:
    """A configuration of the given anomalies, one-second windows."""
    base = Config(
        source=None,
        watch_interval_sec=1.0,
        output_dir=output_dir,
        watcher_actions=("dmesg",),
        anomalies=anomalies,
        collector=Collector(),
        recorder=Recorder(max_events=1000),
        cleanup=Cleanup(),
        audit=Audit(enabled=False),
        user_actions=(),
        warnings=(),
    )
    return replace(base, **changes)


def archives(batches: Path) -> Iterator[Path]:
    """The bundles in a directory, in the order of their names; manifests alone are beside them."""
    found = sorted(batches.glob("*.tar.zst"))
    manifests = [path.with_name(path.name.removesuffix(".tar.zst") + ".json") for path in found]
    assert sorted(batches.iterdir()) == sorted([*found, *manifests])
    return iter(found)
