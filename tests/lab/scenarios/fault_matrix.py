#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Every fault is named with its cause, and nothing harmless is an alarm
# lab: no-mount
# lab: timeout=3600
"""The judge of detection: faults one after another on a running workload, calibrated in this boot.

A file named ``faults`` (--add) with names of faults, one a line, leaves out the others
and shortens the clean run to five minutes, enough to learn what is normal.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, "/lab")
import harmless
import product
from injections import FAULTS, Fault
from product import OUT, SERVER, Agent, Event, Workload, check, lab

from aodasync.smb.commands import COMMANDS

MOUNT_OPTIONS = "echo_interval=2"  # a reconnect after some 6 s without an answer, not 180
HANG_MS = 2000
EMERGENCY_MS = 1000
DETECT_SEC = 2.0
CLEAN_SEC = 600
CLEAN_REQUESTS = 50_000
CALIBRATION_SEC = 45
MUST_BE_RIGHT = 11
ONLY = Path(os.environ["LAB_FILES"], "faults")


@dataclass
class Line:
    """One line of the table."""

    fault: str
    detected: bool
    after_sec: float
    types: str
    server: str
    verdict: str
    expected: str
    right: bool


def chosen() -> tuple[Fault, ...]:
    """The faults to inject."""
    if not ONLY.exists():
        return FAULTS
    names = ONLY.read_text().split("\n")
    return tuple(fault for fault in FAULTS if fault.name in names)


def configuration(thresholds: dict[str, float]) -> dict[str, object]:
    """All five anomalies; each bundle as cheap as can be, so that collecting is no fault."""
    made = product.config(thresholds, cooldown_sec=0, emergency_threshold_ms=EMERGENCY_MS)
    anomalies = made["guardian"]["anomalies"]
    anomalies["error"] |= {
        "acceptable_count": 3,
        "track_codes": ["EACCES", "EIO", "ENOSPC"],
        "cooldown_sec": 0,
    }
    anomalies["hang"] = {"type": "hang", "age_ms": HANG_MS, "cooldown_sec": 0}
    for kind in ("connection", "drift"):
        anomalies[kind] = {"type": kind, "cooldown_sec": 0}
    return {
        **made,
        "watcher": {"actions": ["mounts"]},
        "collector": {"max_bundles_per_hour": 1000},
        "recorder": {"max_events": 200_000},
    }


def calibration() -> tuple[Workload, dict[str, float]]:
    """The workload, begun once the agent has compiled its programs, and thresholds from it."""
    agent = Agent("calibration", product.quiet_config())
    agent.start()
    agent.wait("agent_ready", 120)
    workload = Workload(processes=12, rate=2.5)
    time.sleep(8)
    begun_ns = time.monotonic_ns()
    time.sleep(CALIBRATION_SEC)
    rows = product.bundle_events(agent.snapshot())
    check("the calibrating agent stops with status 0", agent.stop() == 0)
    thresholds = product.calibrate(rows[rows["issued_ns"] > begun_ns])
    print("thresholds:", thresholds, flush=True)
    return workload, thresholds


def bundles(agent: Agent) -> list[Event]:
    """Bundles written of anomalies."""
    return [e for e in agent.events("bundle_written") if e["anomaly"] != "snapshot"]


def quiet(agent: Agent) -> None:
    """Wait until every episode has ended and every bundle is written."""

    def is_quiet() -> bool:
        detected, ended = agent.events("anomaly_detected"), agent.events("anomaly_ended")
        held_back = len(agent.events("trigger_suppressed"))
        ordered = len(detected) - held_back
        return len(ended) >= len(detected) and len(bundles(agent)) >= ordered

    try:
        product.wait_for("quiet", is_quiet, 90)
    except TimeoutError:
        check("every episode ends, every bundle is written", ok=False)


def judged(agent: Agent, fault: Fault, thresholds: dict[str, float]) -> Line:
    """Inject a fault, and hold what the agent says against what it should."""
    seen = len(agent.events("anomaly_detected"))
    written = len(bundles(agent))
    begun = time.time()
    fault.inject(thresholds)
    time.sleep(6)
    quiet(agent)
    events = agent.events("anomaly_detected")[seen:]
    manifests = [product.bundle_manifest(Path(b["path"])) for b in bundles(agent)[written:]]
    found = [next((e for e in events if e["anomaly"] in t.split("|")), None) for t in fault.types]
    first = found[0]
    detected = all(found) and (not fault.emergency or any(e["emergency"] for e in events))
    after = _after_sec(first, manifests, begun) if first else float("inf")
    cause = next(
        (m["verdict"] for m in manifests if first and m["anomaly"]["episode"] == first["episode"]),
        {"cause": "none", "sentence": ""},
    )
    for manifest in manifests:
        verdict = manifest["verdict"]
        print(f"  {manifest['anomaly']['name']}: {verdict['cause']}: {verdict['sentence']}")
    (OUT / f"{fault.name.replace(' ', '_')}.json").write_text(
        json.dumps([{k: m[k] for k in ("anomaly", "verdict")} for m in manifests], indent=1)
    )
    return Line(
        fault.name,
        bool(detected),
        after,
        "+".join(sorted({e["anomaly"] for e in events})) or "-",
        first["server"] if first else "-",
        cause["cause"],
        "/".join(sorted(fault.causes)),
        cause["cause"] in fault.causes,
    )


def _after_sec(event: Event, manifests: list[Event], begun: float) -> float:
    """From the first symptom: what made the anomaly out, but not before the fault came."""
    symptom = begun
    for manifest in manifests:
        anomaly, clock = manifest["anomaly"], manifest["clock"]
        if anomaly["episode"] == event["episode"]:
            first_ns = anomaly["crossed_ns"] if event["anomaly"] == "hang" else anomaly["first_ns"]
            ago_ns = clock["monotonic_ns"] - first_ns
            symptom = max(begun, (clock["realtime_ns"] - ago_ns) / 1e9)
    return product.unix_time(event) - symptom


def unjustified(
    events: list[Event], rows: product.Rows, thresholds: dict[str, float]
) -> list[Event]:
    """The alarms that no window of the recorded requests justifies."""
    limits = np.array([thresholds.get(name, 1e9) for name in COMMANDS] + [1e9])
    latency = product.latency_ms(rows)
    slow = (rows["kind"] == 0) & (latency >= limits[np.minimum(rows["command"], len(COMMANDS))])
    _, counts = np.unique(rows["released_ns"][slow] // 10**9, return_counts=True)
    is_slow = bool((counts >= 5).any() or (latency[slow] >= EMERGENCY_MS).any())
    return [event for event in events if event["anomaly"] != "latency" or not is_slow]


def silent(agent: Agent, name: str, act: Callable[[], None], thresholds: dict[str, float]) -> int:
    """Do something harmless; nothing may fire that the requests do not justify."""
    seen = len(agent.events("anomaly_detected"))
    begun_ns = time.monotonic_ns()
    try:
        act()
    except (OSError, AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        check(f"{name}: it was done", ok=False, detail=repr(error))
    time.sleep(3)
    fired = agent.events("anomaly_detected")[seen:]
    rows = product.bundle_events(agent.snapshot())
    rows = rows[rows["released_ns"] >= begun_ns]
    wrong = unjustified(fired, rows, thresholds)
    detail = f"{len(fired)} fired, {len(rows)} requests"
    check(f"{name}: no false alarm", not wrong, wrong or detail)
    quiet(agent)
    return len(rows)


def main() -> None:
    """Calibrate, be silent, then one fault after another."""
    lab(f"lab_mount {MOUNT_OPTIONS}")
    workload, thresholds = calibration()
    agent = Agent("matrix", configuration(thresholds))
    agent.start()
    print("ready:", agent.wait("agent_ready", 120), flush=True)
    time.sleep(5)
    clean_sec = 300 if ONLY.exists() else CLEAN_SEC
    requests = silent(agent, f"{clean_sec} s clean", lambda: time.sleep(clean_sec), thresholds)
    if not ONLY.exists():
        check("the clean run has enough requests", requests >= CLEAN_REQUESTS, requests)
        for name, act in harmless.HARMLESS:
            silent(agent, name, act, thresholds)
    lines = []
    for fault in chosen():
        print(f"injecting: {fault.name}", flush=True)
        try:
            lines.append(judged(agent, fault, thresholds))
            print(" ", asdict(lines[-1]), flush=True)
        except (OSError, AssertionError, RuntimeError, subprocess.SubprocessError) as error:
            check(f"{fault.name}: it was injected", ok=False, detail=repr(error))
    workload.stop()
    check("SIGTERM ends the agent with status 0", agent.stop() == 0)
    table(lines)
    for trouble in ("events_lost", "task_restarted", "bundle_failed", "agent_blind"):
        check(f"no {trouble}", not agent.events(trouble), agent.events(trouble) or "")


def table(lines: list[Line]) -> None:
    """Print what was seen, and check it."""
    print(f"{'fault':27}{'seen':6}{'after':>8}  {'types':33}{'server':12}{'cause':9}expected")
    for line in lines:
        after = f"{line.after_sec:.2f} s"
        print(
            f"{line.fault:27}{'yes' if line.detected else 'NO':6}{after:>8}  {line.types:33}"
            f"{line.server:12}{line.verdict:9}{line.expected}{'' if line.right else '  WRONG'}"
        )
    (OUT / "matrix.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
    for line in lines:
        check(f"{line.fault}: detected, as it should be", line.detected, line.types)
        in_time = line.fault == "slow drift" or line.after_sec <= DETECT_SEC
        check(f"{line.fault}: within {DETECT_SEC} s", in_time, f"{line.after_sec:.2f} s")
        check(f"{line.fault}: on the server", line.server == SERVER, line.server)
    right = sum(line.right for line in lines)
    enough = min(MUST_BE_RIGHT, len(lines))
    check(f"the cause is right for {enough} at least", right >= enough, f"{right} of {len(lines)}")


main()
