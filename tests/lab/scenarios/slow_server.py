#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=A slow network, a stalled server and denied files are caught; clean is clean
# lab: timeout=1200
"""A slow server, as a user would see it caught: calibrated in the same boot."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, "/lab")
import product
from product import MOUNT, OUT, SERVER, SHARE_DIR, Agent, Event, Workload, check, lab

from aodasync.smb.commands import COMMANDS

CLEAN_SEC = 60
CALIBRATION_SEC = 30
CALIBRATIONS = 3  # a host that has other work to do may spoil one
LONGEST_DELAY_MS = 2500
DELAY_FACTOR = 1.5
SETTLE_SEC = 5  # the start of the agent itself takes the processor


def calibration(attempt: int) -> dict[str, float]:
    """Thresholds from 30 s of clean traffic."""
    agent = Agent(f"calibration-{attempt}", product.config({}))
    agent.start()
    agent.wait("agent_ready", 120)
    time.sleep(SETTLE_SEC)
    begun_ns = time.monotonic_ns()
    time.sleep(CALIBRATION_SEC)
    rows = product.bundle_events(agent.snapshot())
    rows = rows[rows["issued_ns"] > begun_ns]
    check("the calibrating agent stops with status 0", agent.stop() == 0)
    thresholds = product.calibrate(rows)
    check("clean traffic was recorded", len(rows) > 500, f"{len(rows)} requests")
    print("thresholds:", thresholds, flush=True)
    return thresholds


def justified(anomaly: Event, rows: product.Rows, thresholds: dict[str, float]) -> bool:
    """Whether some window of the recorded requests holds what a latency anomaly claims."""
    limits = np.array([thresholds.get(name, 1e9) for name in COMMANDS])
    slow = rows[(rows["kind"] == 0) & (product.latency_ms(rows) >= limits[rows["command"]])]
    if (product.latency_ms(slow) >= 1000).any():
        return True
    _, counts = np.unique(slow["released_ns"] // 10**9, return_counts=True)
    return bool((counts >= anomaly["acceptable_count"]).any())


def clean_run(agent: Agent, thresholds: dict[str, float]) -> None:
    """Clean traffic fires nothing that the recorded requests do not justify."""
    time.sleep(CLEAN_SEC)
    fired = agent.events("anomaly_detected")
    rows = product.bundle_events(agent.snapshot())
    unjustified = [e for e in fired if not justified(e, rows, thresholds)]
    check(
        f"{CLEAN_SEC} s of clean traffic fire nothing unjustified",
        not unjustified,
        f"{len(fired)} fired, {len(rows)} requests",
    )
    agent_quiet(agent)


def agent_quiet(agent: Agent) -> None:
    """Wait until every episode has ended."""
    product.wait_for(
        "quiet",
        lambda: len(agent.events("anomaly_ended")) >= len(agent.events("anomaly_detected")),
        60,
    )


def check_bundle(written: Event) -> None:
    """The bundle holds what it should, and its manifest says so."""
    bundle = Path(written["path"])
    names = {name.rsplit("/", 1)[-1] for name in product.bundle_list(bundle)}
    wanted = {"manifest.json", "events.npy", "inflight.json", "dmesg.log", "journalctl.log"}
    wanted |= {"debug_data.log", "cifsstats.log", "mounts.log"}
    check("tar --zstd lists the bundle", wanted <= names, sorted(wanted - names) or bundle.name)
    manifest = product.bundle_manifest(bundle)
    (OUT / f"{bundle.name}.manifest.json").write_bytes(product.bundle_file(bundle, "manifest.json"))
    entries = {entry["file"]: entry for entry in manifest["actions"]}
    for file, text in {
        "dmesg.log": b"",
        "debug_data.log": b"ConnectionId",
        "cifsstats.log": b"Resources in use",
        "mounts.log": b"/mnt/smb",
    }.items():
        content = product.bundle_file(bundle, file)
        entry = entries[file]
        check(
            f"{file} holds real content, and the manifest says so",
            len(content) > 0
            and text in content
            and entry["bytes"] == len(content)
            and not entry["error"],
            f"{len(content)} bytes, error {entry['error']!r}",
        )


def slow_network(agent: Agent, thresholds: dict[str, float]) -> None:
    """A delay on the wire fires the latency anomaly by count, and leaves one good bundle."""
    delay_ms = DELAY_FACTOR * max(thresholds.values())
    seen = len(agent.events("anomaly_detected", anomaly="latency"))
    bundles = len(agent.events("bundle_written", anomaly="latency"))
    injected = time.time()
    lab(f"lab_delay {delay_ms:.0f}ms")
    anomaly = agent.wait("anomaly_detected", 30, skip=seen, anomaly="latency")
    after_sec = product.unix_time(anomaly) - injected
    print("anomaly:", anomaly, flush=True)
    # The first symptom is the first response that the delay held back.
    check(
        "a network delay is detected within 2 s",
        after_sec - delay_ms / 1e3 <= 2.0,
        f"{after_sec:.2f} s",
    )
    check("it names the server", anomaly["server"] == SERVER, anomaly["server"])
    check(
        "it counts enough requests", anomaly["count"] >= 5 or anomaly["emergency"], anomaly["count"]
    )
    written = agent.wait("bundle_written", 60, skip=bundles, anomaly="latency")
    lab("lab_clear_net")
    rows = product.bundle_events(Path(written["path"]))
    finding_commands = set(anomaly["command"])
    limits = np.array([thresholds.get(name, max(thresholds.values())) for name in COMMANDS])
    slow = rows[(rows["kind"] == 0) & (product.latency_ms(rows) >= limits[rows["command"]])]
    slow_commands = {COMMANDS[code] for code in np.unique(slow["command"])}
    check(
        "it names commands that were slow",
        finding_commands <= slow_commands,
        sorted(finding_commands),
    )
    check_bundle(written)
    time.sleep(5)
    agent_quiet(agent)
    episodes = agent.events("anomaly_detected", anomaly="latency")[seen:]
    written_now = agent.events("bundle_written", anomaly="latency")[bundles:]
    check("each episode left one bundle", len(written_now) == len(episodes), len(written_now))


def stalled_server(agent: Agent) -> None:
    """A single request of over a second: an agent whose emergency threshold is the default."""
    seen = len(agent.events("anomaly_detected", anomaly="latency"))
    lab("lab_server_stop")
    time.sleep(1.5)
    went_on = time.time()
    lab("lab_server_cont")
    anomaly = agent.wait("anomaly_detected", 30, skip=seen, anomaly="latency")
    check(
        "a request of over 1 s fires",
        anomaly["emergency"] and anomaly["max_latency_ms"] >= 1000,
        anomaly["max_latency_ms"],
    )
    check(
        "it fires at once",
        product.unix_time(anomaly) - went_on <= 1.0,
        f"{product.unix_time(anomaly) - went_on:.2f} s, detect_ms {anomaly['detect_ms']}",
    )
    time.sleep(5)
    agent_quiet(agent)


def denied_files(agent: Agent) -> None:
    """Files of another owner fire the error anomaly."""
    for number in range(40):
        secret = SHARE_DIR / f"secret-{number}"
        secret.write_text("not yours")
        secret.chmod(0o600)
        os.chown(secret, 0, 0)
    denied = 0
    for number in range(40):
        try:
            (MOUNT / f"secret-{number}").read_text()
        except PermissionError:
            denied += 1
    check("the server denies the files", denied == 40, denied)
    anomaly = agent.wait("anomaly_detected", 30, anomaly="error")
    check(
        "the error anomaly names the status",
        anomaly["code"] == ["STATUS_ACCESS_DENIED"],
        anomaly["code"],
    )
    check("with its count", 10 <= anomaly["count"] <= 80, anomaly["count"])
    check("and the command", anomaly["command"] == ["SMB2_CREATE"], anomaly["command"])


def journal_text() -> str:
    """All of the journal, messages alone."""
    argv = ["journalctl", "--no-pager", "-o", "cat"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def journal() -> None:
    """The journal holds the agent's lines and AODv2's sentences."""
    lines = journal_text()
    check("journald holds the agent's lines", '"event": "agent_ready"' in lines)
    for sentence in ("AOD detected anomaly: latency with", "AOD detected anomaly: error with"):
        check(f"journald holds '{sentence} N events'", sentence in lines)


def main() -> None:
    """Calibrate, then one fault after another."""
    workload = Workload()
    time.sleep(3)
    for attempt in range(1, CALIBRATIONS + 1):
        thresholds = calibration(attempt)
        slow_ms = DELAY_FACTOR * max(thresholds.values())
        if slow_ms < LONGEST_DELAY_MS:
            break
    what = f"the machine is quiet enough to calibrate ({attempt}. time)"
    check(what, slow_ms < LONGEST_DELAY_MS, f"delay {slow_ms:.0f} ms")
    # Emergencies are for the second half; under the delay, the count alone shall fire.
    patient = product.config(thresholds, cooldown_sec=0, emergency_threshold_ms=10 * slow_ms)
    agent = started("agent", patient)
    clean_run(agent, thresholds)
    slow_network(agent, thresholds)
    denied_files(agent)
    journal()
    ended(agent)
    # This one's detector dies once, which must cost nothing but a restart.
    python = "/opt/aodasync/bin/python"
    config = product.config(thresholds, acceptable_count=1000)
    agent = started("emergency", config, [python, "/lab/dying_detector.py"])
    restarted(agent)
    stalled_server(agent)
    workload.stop()
    ended(agent, restarts=1)


def restarted(agent: Agent) -> None:
    """A task that dies is restarted, and told in the log and in AODv2's words."""
    event = agent.wait("task_restarted", 30)
    check("a task that died is restarted", event["task"] == "detector", event["error"])
    sentence = "AOD component AnomalyWatcher restarted due to unexpected exit"
    product.wait_for(sentence, lambda: sentence in journal_text(), 30)
    check(f"journald holds '{sentence}'", ok=True)


def started(name: str, config: dict[str, object], program: Sequence[str] = ("aodasync",)) -> Agent:
    """An agent whose lines go to journald, and to the log that this script reads."""
    agent = Agent(name, config)
    to_journal = 'exec "$@" > >(tee /dev/stderr | systemd-cat -t aodasync)'
    agent.start(["bash", "-c", to_journal, "_"], program)
    print("ready:", agent.wait("agent_ready", 120), flush=True)
    return agent


def ended(agent: Agent, restarts: int = 0) -> None:
    """Stop an agent; nothing may have gone wrong in its life."""
    check(f"SIGTERM ends {agent.name} with status 0", agent.stop() == 0)
    check("and it says so", len(agent.events("agent_stopped")) == 1)
    check(f"tasks were restarted: {restarts}", len(agent.events("task_restarted")) == restarts)
    for trouble in ("events_lost", "bundle_failed", "agent_blind"):
        check(f"no {trouble}", not agent.events(trouble), agent.events(trouble) or "")
    check("no partial bundle is left", not list(agent.output_dir.glob("batches/*.partial*")))
    for bundle in agent.output_dir.glob("batches/*.tar.zst"):
        shutil.copy(bundle, OUT)
    print("metrics:", agent.events("agent_metrics")[-1], flush=True)


main()
