#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Every fault is named with its cause, and nothing harmless is an alarm
# lab: no-mount
# lab: timeout=3600
"""The judge of detection: faults one after another on a running workload, calibrated in this boot.

A file named ``faults`` (--add) with names of faults, one a line, leaves out the others, what is
harmless, and the long clean run, unless the drift is among them, before which it must be learnt
what is normal.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, "/lab")
import evidence
import harmless
import product
from injections import FAULTS, Fault
from justified import Evidence, Pencil
from matrix_table import SLOW, Line, print_and_check
from product import OUT, Agent, Event, Workload, check, lab

MOUNT_OPTIONS = "echo_interval=2"  # a reconnect after some 6 s without an answer, not 180
EMERGENCY_MS = 1000
CLEAN_SEC = 600
CLEAN_REQUESTS = 50_000
CALIBRATION_SEC = 45
FACTOR = 3.0  # of the 99.9th percentile; what crosses it in clean traffic is justified
CALIBRATIONS = 3  # a host that has other work to do may spoil one
HIGHEST_MS = 800  # of the thresholds: the delay that crosses all of them shall be no hang
WINDOW_NS = 1_000_000_000  # an alarm counts what came in its second, before the injection too
ONLY = Path(os.environ["LAB_FILES"], "faults")
CANNOT = (OSError, AssertionError, RuntimeError, subprocess.SubprocessError)


def chosen() -> tuple[Fault, ...]:
    """The faults to inject."""
    if not ONLY.exists():
        return FAULTS
    names = ONLY.read_text().split("\n")
    return tuple(fault for fault in FAULTS if fault.name in names)


def configuration(thresholds: dict[str, float]) -> dict[str, object]:
    """All five anomalies, a bundle for each, with what a support engineer wants in it."""
    made = product.config(thresholds, cooldown_sec=0, emergency_threshold_ms=EMERGENCY_MS)
    anomalies = made["guardian"]["anomalies"]
    anomalies["error"] |= {
        "acceptable_count": 3,
        "track_codes": ["EACCES", "EIO", "ENOSPC"],
        "cooldown_sec": 0,
    }
    anomalies["hang"] = {"type": "hang", "age_ms": evidence.HUNG_MS, "cooldown_sec": 0}
    for kind in ("connection", "drift"):
        anomalies[kind] = {"type": kind, "cooldown_sec": 0}
    return {
        **made,
        "watcher": {"actions": list(evidence.ACTIONS)},
        "collector": {"max_bundles_per_hour": 1000},
        "recorder": {"max_events": 100_000},
    }


def calibration() -> tuple[Workload, dict[str, float]]:
    """The workload, begun once the agent has compiled its programs, and thresholds from it."""
    agent = Agent("calibration", product.quiet_config())
    agent.start()
    agent.wait("agent_ready", 120)
    workload = Workload(processes=12, rate=0.9, seconds=3600)
    time.sleep(8)
    for _ in range(CALIBRATIONS):
        begun_ns = time.monotonic_ns()
        time.sleep(CALIBRATION_SEC)
        rows = product.bundle_events(agent.snapshot())
        thresholds = product.calibrate(rows[rows["issued_ns"] > begun_ns], FACTOR)
        print("thresholds:", thresholds, flush=True)
        low = max(thresholds.values()) <= HIGHEST_MS or not any(f.over_thresholds for f in chosen())
        if low:
            break
    check("the machine is quiet enough to calibrate", low)
    check("the calibrating agent stops with status 0", agent.stop() == 0)
    return workload, thresholds


def explained(fault: str, sufferer: str, bundle: Evidence) -> None:
    """``why`` has the cause of the bundle's verdict, and who suffered."""
    argv = ["aodasync", "why", str(bundle.path), "--json"]
    told = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    cause, who = told["verdict"].get("cause"), told["who"]
    check(f"{fault}: why names the cause", cause == bundle.manifest["verdict"]["cause"], cause)
    processes = [each["name"] for each in who.get("processes", [])]
    check(f"{fault}: why names a process", sufferer in processes, processes)
    shares = [each["name"] for each in who.get("shares", [])]
    check(
        f"{fault}: why names the share",
        [s.rpartition("/")[2] for s in shares][:1] == ["share"],
        shares,
    )


class Matrix:
    """An agent on a running workload, and what it makes of what is done to it."""

    def __init__(self, agent: Agent, thresholds: dict[str, float]) -> None:
        self.agent = agent
        self.thresholds = thresholds
        counts = {"latency": 5, "error": 3}
        self.pencil = Pencil(thresholds, EMERGENCY_MS, evidence.HUNG_MS, counts)

    def written(self) -> list[Event]:
        """Bundles written of anomalies."""
        return [e for e in self.agent.events("bundle_written") if e["anomaly"] != "snapshot"]

    def quiet(self) -> None:
        """Wait until every episode has ended and every bundle is written."""

        def is_quiet() -> bool:
            detected = self.agent.events("anomaly_detected")
            ended = self.agent.events("anomaly_ended")
            held_back = self.agent.events("trigger_suppressed", reason="hourly budget")
            return len(ended) >= len(detected) <= len(self.written()) + len(held_back)

        try:
            product.wait_for("quiet", is_quiet, 90)
        except TimeoutError:
            check("every episode ends, every bundle is written", ok=False)

    def settled(self) -> None:
        """Wait until the last fault's aftermath is over: five seconds without an alarm."""
        self.quiet()
        while True:
            seen = len(self.agent.events("anomaly_detected"))
            time.sleep(5)
            if len(self.agent.events("anomaly_detected")) == seen:
                return
            self.quiet()

    def bundles(self, seen: int) -> list[Evidence]:
        """The bundles written since, of the beginnings of episodes, in the order of decisions."""
        found = [Evidence.of(Path(e["path"])) for e in self.written()[seen:]]
        found = [one for one in found if one.anomaly["phase"] == "start"]
        return sorted(found, key=lambda one: one.decided_ns)

    def silent(self, name: str, act: Callable[[], None]) -> int:
        """Do something harmless; nothing may fire that the requests do not justify."""
        seen, written = len(self.agent.events("anomaly_detected")), len(self.written())
        begun_ns = time.monotonic_ns()
        try:
            act()
        except CANNOT as error:
            check(f"{name}: it was done", ok=False, detail=repr(error))
        time.sleep(3)
        rows = product.bundle_events(self.agent.snapshot())
        requests = int((rows["issued_ns"] >= begun_ns).sum())
        self.quiet()
        fired = self.agent.events("anomaly_detected")[seen:]
        right = {
            one.anomaly["episode"]
            for one in self.bundles(written)
            if self.pencil.justified(one, begun_ns - WINDOW_NS)
        }
        false = [event for event in fired if event["episode"] not in right]
        sec = (time.monotonic_ns() - begun_ns) / 1e9
        told = f"{len(fired)} fired, {requests} requests in {sec:.0f} s"
        check(f"{name}: no false alarm", not false, false or told)
        for event in fired:
            print(" ", event, flush=True)
        return requests

    def judged(self, fault: Fault) -> Line:
        """Inject a fault, and hold what the agent says against what it should."""
        self.settled()
        seen, written = len(self.agent.events("anomaly_detected")), len(self.written())
        strayed = evidence.strayed()
        begun_ns = time.monotonic_ns()
        fault.inject(self.thresholds)
        time.sleep(6)
        self.quiet()
        events = self.agent.events("anomaly_detected")[seen:]
        bundles = self.bundles(written)
        wanted = [t.split("|") for t in fault.types]
        found = [next((e for e in events if e["anomaly"] in names), None) for names in wanted]
        decisive = next((one for one in bundles if one.anomaly["name"] in wanted[0]), None)
        verdict = decisive.manifest["verdict"] if decisive else {"cause": "none"}
        for one in bundles:
            shown = one.manifest["verdict"]
            print(f"  {one.anomaly['name']}: {shown['cause']}: {shown['sentence']}")
            if not self.pencil.justified(one, begun_ns - WINDOW_NS):
                check(f"{fault.name}: {one.anomaly['name']} is justified", ok=False)
        if decisive is None:
            rows = product.bundle_events(self.agent.snapshot())
            print(f"  slow in the worst second: {self.pencil.worst_second(rows, begun_ns)}")
        else:
            evidence.check_bundle(fault.name, decisive, begun_ns)
            explained(fault.name, fault.sufferer, decisive)
            for what in fault.shown:
                ok, detail = evidence.SHOWN[what](decisive, strayed)
                check(f"{fault.name}: {what}", ok, detail)
            shutil.copy(decisive.path, OUT / f"{fault.name.replace(' ', '_')}.tar.zst")
        detected = all(found) and (not fault.emergency or self._escalated(events))
        return Line(
            fault.name,
            bool(detected and decisive),
            self._after_sec(fault, decisive, begun_ns) if decisive else float("inf"),
            "+".join(sorted({e["anomaly"] for e in events})) or "-",
            decisive.anomaly["server"] if decisive else "-",
            verdict["cause"],
            "/".join(sorted(fault.causes)),
            verdict["cause"] in fault.causes,
        )

    def _escalated(self, events: list[Event]) -> bool:
        """Whether one of these alarms was an emergency, at once or later in its episode."""
        later = {e["episode"] for e in self.agent.events("anomaly_escalated")}
        return any(e["emergency"] or e["episode"] in later for e in events)

    def _after_sec(self, fault: Fault, decisive: Evidence, begun_ns: int) -> float:
        """From the first symptom, found by pencil; of a drift, from the injection."""
        symptoms = [] if fault.name == SLOW else self.pencil.symptoms(decisive, begun_ns)
        return (decisive.decided_ns - min(symptoms, default=begun_ns)) / 1e9


def main() -> None:
    """Calibrate, be silent, then one fault after another."""
    lab(f"lab_mount {MOUNT_OPTIONS}")
    workload, thresholds = calibration()
    agent = Agent("matrix", configuration(thresholds))
    agent.start()
    print("ready:", agent.wait("agent_ready", 120), flush=True)
    time.sleep(5)
    settled = len(agent.events())  # until then it met requests that were on their way
    matrix = Matrix(agent, thresholds)
    if ONLY.exists():
        learning = any(fault.name == SLOW for fault in chosen())
        matrix.silent("clean", lambda: time.sleep(330 if learning else 30))
    else:
        what = f"{CLEAN_SEC} s clean, CHANGE_NOTIFY and a lock pending in the second half"
        requests = matrix.silent(what, lambda: harmless.clean(CLEAN_SEC, agent))
        check("the clean run has enough requests", requests >= CLEAN_REQUESTS, requests)
        for name, act in harmless.HARMLESS:
            matrix.silent(name, act)
    lines = []
    for fault in chosen():
        print(f"injecting: {fault.name}", flush=True)
        try:
            lines.append(matrix.judged(fault))
            print(" ", asdict(lines[-1]), flush=True)
        except CANNOT as error:
            check(f"{fault.name}: it was injected", ok=False, detail=repr(error))
    workload.stop()
    check("SIGTERM ends the agent with status 0", agent.stop() == 0)
    print_and_check(lines)
    for trouble in ("events_lost", "task_restarted", "bundle_failed", "agent_blind"):
        told = [event for event in agent.events()[settled:] if event["event"] == trouble]
        check(f"no {trouble}", not told, told or "")


main()
