# SPDX-License-Identifier: MIT
"""Running cases of the field: the agent's configuration, and what it said of each."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import evidence
import field_acts
import product
from field_cases import AGE_SEC, Case
from field_table import Line, judge
from product import OUT, Agent, Event

__all__ = ["AGE_SEC", "configuration", "tried"]

_left: set[int] = set()
"""Connections that were reported after the last umount of an earlier case. DebugData lists no
further channel that has lost its session (CIFS_SERVER_IS_CHAN), though it reconnects for ever."""
_CANNOT = (OSError, AssertionError, RuntimeError, TimeoutError, subprocess.SubprocessError)


def configuration() -> dict[str, object]:
    """Thresholds that an emulated machine does not cross, all anomalies, a bundle for each."""
    made = product.config({}, cooldown_sec=0, default_threshold_ms=1000, track_commands=[])
    anomalies: dict[str, Any] = made["guardian"]["anomalies"]
    anomalies["hang"] = {"type": "hang", "age_ms": AGE_SEC * 1e3, "cooldown_sec": 0}
    anomalies["connection"] = {"type": "connection", "cooldown_sec": 0}
    anomalies["drift"] = {"enabled": False}
    anomalies["error"] |= {"acceptable_count": 5, "cooldown_sec": 0}
    return {
        **made,
        "watcher": {"actions": list(evidence.ACTIONS)},
        "collector": {"max_bundles_per_hour": 1000},
    }


def _quiet(agent: Agent, kept: frozenset[int]) -> bool:
    """Whether every episode has ended, but for those of connections that the client kept."""
    of = _connections(agent)
    began = {
        e["episode"] for e in agent.events("anomaly_detected") if not _is_left_over(e, of, kept)
    }
    return began <= {e["episode"] for e in agent.events("anomaly_ended")}


@cache
def _manifest(bundle: Path) -> dict[str, Any]:
    return product.bundle_manifest(bundle)


def _connections(agent: Agent) -> dict[int, set[int]]:
    """The connections that each episode is about, by the manifests of its bundles."""
    found: dict[int, set[int]] = {}
    for event in agent.events("bundle_written"):
        anomaly = _manifest(Path(event["path"]))["anomaly"]
        found.setdefault(anomaly["episode"], set()).update(anomaly.get("connections", ()))
    return found


def _known_to_client() -> frozenset[int]:
    """Ids of the connections that the client has."""
    text = Path("/proc/fs/cifs/DebugData").read_text()
    return frozenset(int(found, 16) for found in re.findall(r"ConnectionId: 0x([0-9a-f]+)", text))


def _verdicts(agent: Agent, written: int) -> list[Event]:
    """The verdicts of the bundles written since, of the beginnings of episodes."""
    found = []
    for event in agent.events("bundle_written")[written:]:
        manifest = _manifest(Path(event["path"]))
        if event["anomaly"] != "snapshot" and manifest["anomaly"]["phase"] == "start":
            episode = manifest["anomaly"]["episode"]
            found.append({**manifest["verdict"], "anomaly": event["anomaly"], "episode": episode})
    return found


def _is_left_over(event: Event, of: dict[int, set[int]], kept: frozenset[int]) -> bool:
    """Whether it is about connections that the client kept though nothing was mounted.

    After a reconnect, some kernels do not close them at the umount. A restart of Samba then
    ends them, or lets their ECHO wait, which is reported, and no part of a case. They are
    told by their ids: ``kept`` are those that were there before the case, whose mounts share
    none. So are those that the case's own mounts leave, once the last of them is gone.
    """
    if event["anomaly"] != "connection" and event["command"] != ["SMB2_ECHO"]:
        return False
    if field_acts.unmounted and product.unix_time(event) > field_acts.unmounted[-1]:
        return True
    connections = of.get(event["episode"], set())
    return bool(connections) and connections <= kept


def _keep(agent: Agent, case: Case, written: int) -> None:
    """Take the bundles of a case along, for who reads them."""
    folder = OUT / "bundles" / case.name.replace(" ", "_").replace(":", "")
    folder.mkdir(parents=True, exist_ok=True)
    for event in agent.events("bundle_written")[written:]:
        shutil.copy(event["path"], folder)


def tried(agent: Agent, case: Case) -> Line:
    """Do it, and judge what the agent says."""
    print(f"=== {case.name}", flush=True)
    seen, written = len(agent.events("anomaly_detected")), len(agent.events("bundle_written"))
    logged, begun = len(agent.events()), time.time()
    field_acts.began.clear()
    field_acts.unmounted.clear()
    kept = _known_to_client() | _left
    failure = ""
    try:
        case.act(agent)
    except _CANNOT as error:
        failure = f"it could not be done: {error!r:.300}"
    time.sleep(3)
    try:
        product.wait_for("every episode is over", lambda: _quiet(agent, kept), 60)
    except TimeoutError:
        failure = failure or "an episode does not end"
    time.sleep(2)
    reported = agent.events("anomaly_detected")[seen:]
    of = _connections(agent)
    events = [event for event in reported if not _is_left_over(event, of, kept)]
    left_over = {e["episode"] for e in reported if e not in events}
    _left.update(*(of.get(episode, ()) for episode in left_over))
    found = [v for v in _verdicts(agent, written) if v["episode"] not in left_over]
    for event in reported:
        whose = "" if event in events else " (of a connection without a mount)"
        print(f"  reported{whose}:", event, flush=True)
    for verdict in found:
        said = f"{verdict['cause']}/{verdict['confidence']}: {verdict['sentence']}"
        print(f"  {verdict['anomaly']}: {said}", flush=True)
    line = judge(case, events, found, field_acts.began[-1] if field_acts.began else begun)
    _keep(agent, case, written)
    names = {event["event"] for event in agent.events()[logged:]}
    wrong = [*line.wrong, *(f"no {name}" for name in case.logs if name not in names)]
    wrong += [f"a {name}" for name in ("agent_blind", "task_restarted") if name in names]
    wrong += [failure] if failure else []
    return replace(line, wrong=tuple(wrong))
