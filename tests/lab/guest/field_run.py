# SPDX-License-Identifier: MIT
"""Running cases of the field: the agent's configuration, and what it said of each."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import evidence
import field_acts
import product
from field_cases import AGE_SEC, Case
from field_table import Line, judge
from product import OUT, Agent, Event

__all__ = ["AGE_SEC", "configuration", "tried"]

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


def _quiet(agent: Agent) -> bool:
    """Whether every episode has ended, but for those of connections that the client kept."""
    began = {e["episode"] for e in agent.events("anomaly_detected") if not _is_left_over(e)}
    return began <= {e["episode"] for e in agent.events("anomaly_ended")}


def _verdicts(agent: Agent, written: int) -> list[Event]:
    """The verdicts of the bundles written since, of the beginnings of episodes."""
    found = []
    for event in agent.events("bundle_written")[written:]:
        manifest = product.bundle_manifest(Path(event["path"]))
        if event["anomaly"] != "snapshot" and manifest["anomaly"]["phase"] == "start":
            found.append({**manifest["verdict"], "anomaly": event["anomaly"]})
    return found


def _is_left_over(event: Event) -> bool:
    """Whether it is the end of a connection that the client kept though nothing was mounted.

    After a reconnect, some kernels do not close it at the umount. Restarting Samba with other
    settings then ends it, or lets its ECHO wait, which is reported, and no part of a case.
    """
    if event["anomaly"] != "connection" and event["command"] != ["SMB2_ECHO"]:
        return False
    at = product.unix_time(event)
    return any(0 <= at - began < 10 for began in field_acts.restarted_unmounted)


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
    failure = ""
    try:
        case.act(agent)
    except _CANNOT as error:
        failure = f"it could not be done: {error!r:.300}"
    time.sleep(3)
    try:
        product.wait_for("every episode is over", lambda: _quiet(agent), 60)
    except TimeoutError:
        failure = failure or "an episode does not end"
    time.sleep(2)
    reported = agent.events("anomaly_detected")[seen:]
    found = _verdicts(agent, written)
    for event in reported:
        kept = " (of a connection without a mount)" if _is_left_over(event) else ""
        print(f"  reported{kept}:", event, flush=True)
    events = [event for event in reported if not _is_left_over(event)]
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
