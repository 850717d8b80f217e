#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Twenty bundles of a server that stands still: all of the evidence, in time
# lab: kernels=6.12
# lab: timeout=900
"""What is in a bundle, how soon, and what is never in one.

The server is stopped ten times. Each time a hang is seen while it lasts, and a latency
anomaly when it is over: twenty bundles with every action. It goes on when the hang's
volatile evidence is on disk, as an emulated guest may take seconds for that.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, "/lab")
import planted
import product
from product import OUT, Agent, Event, Workload, check, lab

from aodasync.actions import BUILTIN

ROUNDS = 10
STOP_SEC = 4.0
LONGEST_SEC = 30.0
WRITTEN_SEC = 120.0
HANG_MS = 1000
EMERGENCY_MS = 3000
RECORD_SEC = 5.0
OWN_ACTIONS = {**planted.ACTIONS, "absent": {"command": ["aod-no-such-tool"]}}
ACTIONS = (*BUILTIN, *OWN_ACTIONS)


@dataclass(frozen=True)
class Timed:
    """A bundle: which, and the ms from the decision to what decays, and to the end."""

    kind: str
    path: Path
    stopped_ns: int
    manifest: Event
    volatile_ms: float
    finished_ms: float


def configuration() -> dict[str, Any]:
    """A hang after a second, an emergency over three; every action there is."""
    quiet = {"cooldown_sec": 0}
    return {
        "watch_interval_sec": 0.5,
        "watcher": {"actions": list(ACTIONS)},
        "actions": OWN_ACTIONS,
        "guardian": {
            "anomalies": {
                "latency": {
                    "type": "Latency",
                    "mode": "all",
                    "acceptable_count": 10_000,
                    "default_threshold_ms": 60_000,
                    "emergency_threshold_ms": EMERGENCY_MS,
                    **quiet,
                },
                "hang": {"age_ms": HANG_MS, **quiet},
                "connection": {"enabled": False},
                "drift": {"enabled": False},
            }
        },
        "collector": {"max_bundles_per_hour": 1000},
    }


def stopped_server(agent: Agent) -> list[Timed]:
    """Stop the server for a while; the bundles of the hang and of what follows."""
    kinds = ("hang", "latency")
    seen = {kind: len(agent.events("bundle_written", anomaly=kind)) for kind in kinds}
    stopped_ns = time.monotonic_ns()
    lab("lab_server_stop")
    try:
        time.sleep(STOP_SEC)
        product.wait_for("stacks.log of the hang", lambda: _stacks(agent), LONGEST_SEC)
    finally:
        lab("lab_server_cont")
    written = [agent.wait("bundle_written", WRITTEN_SEC, skip=seen[k], anomaly=k) for k in kinds]
    product.wait_for("quiet", lambda: _is_quiet(agent), WRITTEN_SEC)
    return [_timed(event, stopped_ns) for event in written]


def _stacks(agent: Agent) -> bool:
    """Whether a hang is being collected whose stacks are written."""
    found = agent.output_dir.glob("batches/*_hang.partial/stacks.log")
    return any(path.stat().st_size for path in found)


def _is_quiet(agent: Agent) -> bool:
    """Whether all episodes have ended, and all their bundles, be they two, are written."""
    detected, ended = agent.events("anomaly_detected"), agent.events("anomaly_ended")
    written = len(agent.events("bundle_written")) >= len(detected) == len(ended)
    return written and not list(agent.output_dir.glob("batches/*.partial"))


def _timed(event: Event, stopped_ns: int) -> Timed:
    path = Path(event["path"])
    manifest = product.bundle_manifest(path)
    decided_sec = manifest["collection"]["decided_realtime_ns"] / 1e9
    return Timed(
        kind=event["anomaly"],
        path=path,
        stopped_ns=stopped_ns,
        manifest=manifest,
        volatile_ms=event["volatile_ms"],
        finished_ms=(product.unix_time(event) - decided_sec) * 1e3,
    )


def print_times(bundles: list[Timed]) -> None:
    """The table, and median and worst of both figures."""
    for bundle in bundles:
        slow = sorted(bundle.manifest["actions"], key=lambda a: -a["duration_ms"])[:3]
        dear = ", ".join(f"{a['name']} {a['duration_ms']:.0f} ms" for a in slow)
        print(f"{bundle.kind:9}{bundle.volatile_ms:9.0f} ms{bundle.finished_ms:9.0f} ms   {dear}")
    for what in ("volatile_ms", "finished_ms"):
        values = [getattr(bundle, what) for bundle in bundles]
        name = {"volatile_ms": "volatile evidence on disk", "finished_ms": "finished bundle"}[what]
        print(
            f"decision to {name}, {len(values)} bundles:"
            f" median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms",
            flush=True,
        )


def check_actions(bundles: list[Timed]) -> None:
    """Each action of each bundle is ok, or says why not."""
    reasons: dict[str, str] = {}
    silent = []
    for bundle in bundles:
        entries = {entry["name"]: entry for entry in bundle.manifest["actions"]}
        sizes = {n.rsplit("/", 1)[-1] for n in product.bundle_list(bundle.path)}
        for name in ACTIONS:
            entry = entries.get(name)
            if entry is None or not (entry["error"] or entry["file"] in sizes):
                silent.append((bundle.path.name, name))
            elif entry["error"]:
                reasons[name] = entry["error"]
    check(f"each of {len(ACTIONS)} actions is ok or says why not", not silent, silent or "")
    for name, reason in sorted(reasons.items()):
        print(f"  {name}: {reason}")
    others = reasons.keys() - {"absent"}
    check("what is not ok is what is not there", "absent" in reasons, sorted(others))


def check_evidence(bundles: list[Timed]) -> None:
    """What only a bundle taken in time can show."""
    hangs = [bundle for bundle in bundles if bundle.kind == "hang"]
    waiting, ages = [], []
    for bundle in hangs:
        stacks = product.bundle_file(bundle.path, "stacks.log").decode().split("==> ")[1:]
        tasks = [s for s in stacks if "[cifs]" in s and " cifsd " not in s.splitlines()[0]]
        waiting.append([s.splitlines()[0] for s in tasks if "wait" in s])
        requests = json.loads(product.bundle_file(bundle.path, "inflight.json"))
        ages.append([(r["age_ms"], r["command"], r["comm"]) for r in requests])
    check(
        "stacks.log of each hang shows a process that waits in cifs",
        all(waiting),
        [len(found) for found in waiting],
    )
    print("  ", waiting[0][:3])
    old = [[r for r in found if r[0] >= HANG_MS and r[1] and r[2]] for found in ages]
    check(
        "inflight.json of each hang shows requests with command, process and age",
        all(old),
        [len(found) for found in old],
    )
    print("  ", old[0][:3])
    begins = []
    for bundle in bundles:
        issued = product.bundle_events(bundle.path)["issued_ns"]
        begins.append((bundle.stopped_ns - int(issued[issued > 0].min())) / 1e9)
    check(
        f"events.npy of each begins {RECORD_SEC} s before its fault",
        min(begins) >= RECORD_SEC,
        f"{min(begins):.1f} s at least",
    )


def check_passwords(bundles: list[Timed], page: str) -> None:
    """The planted passwords are nowhere, and were where they could have been collected."""
    found = {b.path.name: leak for b in bundles for leak in planted.leaks(b.path)}
    check(f"no planted password is in any file of {len(bundles)} bundles", not found, found or "")
    check("nor in the report", planted.PLANTED not in page)
    first = bundles[0]  # the others are too late for the journal's look-back
    masked = planted.masked_in(first.path, first.manifest)
    check("they were there to be collected", masked == list(planted.READERS), masked)
    argv = next(e["argv"] for e in first.manifest["actions"] if e["name"] == "password")
    check("nor does the manifest tell an action's", argv[-1].endswith("=********"), argv)


def main() -> None:
    """Ten stops, twenty bundles, and a look into all of them."""
    with planted.planted_passwords():
        agent = Agent("evidence", configuration())
        agent.start()
        print("ready:", agent.wait("agent_ready", 120)["probe"], flush=True)
        workload = Workload(processes=3, rate=2.0)
        time.sleep(RECORD_SEC + 3)
        bundles: list[Timed] = []
        for number in range(ROUNDS):
            try:
                bundles += stopped_server(agent)
            except TimeoutError as error:
                check(f"stop {number}: two bundles", ok=False, detail=error)
        workload.stop()
        check("SIGTERM ends the agent with status 0", agent.stop() == 0)
    check("twenty bundles were written", len(bundles) == 2 * ROUNDS, len(bundles))
    print_times(bundles)
    check_actions(bundles)
    check_evidence(bundles)
    whole = ["aodasync", "bundles", "verify", "--output-dir", str(agent.output_dir)]
    verified = subprocess.run(whole, capture_output=True, text=True, check=False)
    check(
        "aodasync bundles verify finds them whole",
        verified.returncode == 0 and verified.stdout.count(": ok") >= len(bundles),
        verified.stdout if verified.returncode else verified.stderr,
    )
    target = OUT / "report.html"
    argv = ["aodasync", "report", str(bundles[0].path), "-o", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    page = target.read_text(encoding="utf-8") if target.exists() else ""
    check("aodasync report writes a page", done.returncode == 0 and "</html>" in page, done.stderr)
    check_passwords(bundles, page)
    (OUT / bundles[0].path.name).write_bytes(bundles[0].path.read_bytes())
    for trouble in ("events_lost", "task_restarted", "bundle_failed", "agent_blind"):
        check(f"no {trouble}", not agent.events(trouble), agent.events(trouble) or "")


main()
