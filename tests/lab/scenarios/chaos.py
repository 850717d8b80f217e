#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Faults, failing tasks, full disks, restarts: the record stays whole
# lab: no-mount
# lab: timeout=3000
"""Twenty minutes of anything that may happen, in an order that a seed decides.

A file named ``chaos`` (--add) holds minutes and a seed, ``20 4711``; the seed is
printed. The agent is restarted in the first half; in the second one process goes
through everything, and must not have grown.
"""

import array
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, "/lab")
import evidence
import numpy as np
import product
import truth
import wire
from chaos import DISTURBANCES, FAULT_NAMES, Chaos, ChaosAgent, Footprint, Steady, fault
from chaos_truth import Compared, compare, on_wire, rows_lost
from product import OUT, check, lab

ASKED = Path(os.environ["LAB_FILES"], "chaos")
LAG = Path("/run/lab/lag")
CAPTURE = Path("/run/lab/phase.pcap")
DIRTY_BYTES = 2 << 20
CANNOT = (OSError, AssertionError, RuntimeError, TimeoutError, subprocess.SubprocessError)
RECORDED = 6_000  # more than the requests of a phase
RECORDER_ROWS = 40_000  # more than the recorder has memory for, whatever of it is in use
RESTARTS = ("stopped", "killed", "reloaded")


def configuration() -> dict[str, object]:
    """Everything on, bundles as often as there is a reason."""
    made = product.config({}, cooldown_sec=0, default_threshold_ms=500, track_commands=[])
    anomalies = made["guardian"]["anomalies"]
    anomalies["hang"] = {"type": "hang", "age_ms": 2000, "cooldown_sec": 0}
    return {
        **made,
        "watcher": {"actions": list(evidence.ACTIONS)},
        "recorder": {"max_events": RECORDED},
        "collector": {"max_bundles_per_hour": 1000},
        "cleanup": {"max_total_log_size_mb": 30, "min_free_mb": 10},
    }


@dataclass
class Phase:
    """What was done, and what the agent recorded of it while it was attached."""

    done: list[str]
    seen: Compared
    lost: int

    def __str__(self) -> str:
        """In a line."""
        seen = self.seen
        return (
            f"{seen.paired} of {seen.on_wire}, {len(seen.missing)} missing, {self.lost} lost, "
            f"{len(seen.invented)} invented: {', '.join(self.done)}"
        )


def nothing_in_flight() -> bool:
    """Whether every request has ended; False where the agent does not say so in time."""
    try:
        return not json.loads(lab("aodasync inflight --json"))["requests"]
    except RuntimeError:
        return False


def quiescent(work: Steady) -> None:
    """No process asks for anything, and nothing is on its way."""
    work.signal(signal.SIGSTOP)
    product.wait_for("nothing in flight", nothing_in_flight, 120)
    time.sleep(2.5)  # what writeback still has to send is sent
    product.wait_for("nothing in flight", nothing_in_flight, 120)


def attempted(name: str, act: Callable[[], str]) -> str:
    """Do it, and say what came of it."""
    try:
        return f"{name} {act()}".strip()
    except CANNOT as error:
        return f"{name} failed: {error!r:.150}"


def mischief(chance: random.Random, chaos: Chaos) -> list[str]:
    """A fault of the matrix or two, and at the same time what disturbs the agent."""
    faults = chance.sample(FAULT_NAMES, chance.choice((1, 2)))
    names = chance.sample(tuple(DISTURBANCES), chance.choice((1, 2, 3)))
    with ThreadPoolExecutor(1) as beside:
        doing = [beside.submit(attempted, each, partial(fault, each)) for each in faults]
        disturbed = []
        for name in names:
            disturbed.append(attempted(name, partial(DISTURBANCES[name], chance, chaos)))
            time.sleep(3)
        return [*(each.result() for each in doing), *disturbed]


def phase(chance: random.Random, chaos: Chaos) -> Phase:
    """Some mischief between two moments of rest, and the record of it against the wire."""
    agent, work = chaos.agent, chaos.work
    quiescent(work)
    before = rows_lost(product.bundle_manifest(agent.snapshot())["losses"])
    capture = wire.Capture(CAPTURE)
    begun_ns = time.monotonic_ns()
    work.signal(signal.SIGCONT)
    time.sleep(4)
    done = mischief(chance, chaos)
    time.sleep(4)
    quiescent(work)
    ended_ns = time.monotonic_ns()
    bundle = agent.snapshot()
    dropped = capture.stop()
    check("the capture is complete", dropped == 0, dropped)
    rows = product.bundle_events(bundle)
    rows = rows[(rows["issued_ns"] >= begun_ns) & (rows["issued_ns"] < ended_ns)]
    lost = rows_lost(product.bundle_manifest(bundle)["losses"]) - before
    found = Phase(done, compare(rows, on_wire(CAPTURE)), lost)
    if len(found.seen.missing) > lost or found.seen.invented:
        for each in (*found.seen.missing[:10], *map(truth.described, found.seen.invented[:10])):
            print("   ", each, flush=True)
        shutil.copy(CAPTURE, OUT)
    work.signal(signal.SIGCONT)
    CAPTURE.unlink()
    return found


def restarted(how: str, chaos: Chaos) -> None:
    """Between phases: the agent stopped, killed, or the client unloaded under no agent."""
    agent = chaos.agent
    assert agent.process is not None
    if how == "killed":
        agent.process.kill()
        agent.process.wait(30)
    else:
        check("the agent stops with status 0", agent.stop() == 0)
    if how == "reloaded":
        chaos.work.stop()
        lab("lab_wait_for 60 lab_umount")
        # After a reconnect the client may keep references on itself that nobody holds.
        print(
            "  unload:", attempted("rmmod", lambda: lab("lab_wait_for 30 rmmod cifs")), flush=True
        )
    agent.start()
    if how == "reloaded":
        time.sleep(5)
        chaos.mount()
        chaos.work.start()
    agent.attached()


def recorder_filled() -> bool:
    """Whether the recorder has taken all of its memory, with some requests more.

    From then on nothing may grow.
    """
    for _ in range(1_000):
        probe = product.MOUNT / "filling"
        probe.write_bytes(b"1")
        probe.unlink()
    told = json.loads(lab("aodasync status --json"))
    return bool(told["recorder"]["appended"] >= RECORDER_ROWS)


def lag_ms() -> str:
    """The loop's lag over the whole run."""
    samples = array.array("f", LAG.read_bytes()[: LAG.stat().st_size // 4 * 4])
    points = np.percentile(samples, [50, 99, 99.9, 100])
    return "p50 {:.1f}, p99 {:.1f}, p99.9 {:.1f}, worst {:.1f} ms of {}".format(
        *points, len(samples)
    )


def judged(agent: ChaosAgent, phases: list[Phase], start: Footprint) -> None:
    """What must hold at the end."""
    assert agent.process is not None
    check("the agent is up", agent.process.poll() is None)
    check("and answers", subprocess.run(["aodasync", "status"], check=False).returncode == 0)
    for number, each in enumerate(phases):
        check(
            f"phase {number}: recorded and lost is the wire",
            len(each.seen.missing) <= each.lost and not each.seen.invented,
            each,
        )
    end = Footprint.of(agent.pid)
    print("footprint at the start:", start, "at the end:", end, flush=True)
    check("no descriptor more", end.descriptors <= start.descriptors, end.descriptors)
    check("no thread more", end.threads <= start.threads, end.threads)
    check("no child more", end.children <= start.children, end.children)
    grown = end.private_dirty - start.private_dirty
    check("private dirty memory within 2 MB", grown <= DIRTY_BYTES, f"{grown / 1024:.0f} KB more")
    verify = ["aodasync", "bundles", "verify", "--output-dir", str(agent.output_dir)]
    check("every archive is whole", subprocess.run(verify, check=False).returncode == 0)
    print("loop lag:", lag_ms(), flush=True)


def main() -> None:
    """Until the time is up."""
    asked = ASKED.read_text().split() if ASKED.exists() else []
    minutes = float(asked[0]) if asked else 20.0
    seed = int(asked[1]) if len(asked) > 1 else time.time_ns() % 100_000
    print(f"chaos for {minutes:g} minutes, seed {seed}", flush=True)
    chance = random.Random(seed)  # noqa: S311  # a repeatable sequence is the point
    Chaos.mount()
    agent = ChaosAgent(configuration())
    agent.ready()
    try:
        endured(chance, Chaos(agent, Steady()), minutes)
    except CANNOT:
        agent.explain()
        raise


def endured(chance: random.Random, chaos: Chaos, minutes: float) -> None:
    """Phase after phase, and the judgement at the end."""
    agent = chaos.agent
    begun = time.monotonic()
    phases: list[Phase] = []
    hows = itertools.cycle(chance.sample(RESTARTS, len(RESTARTS)))
    start: Footprint | None = None
    in_one_process = 0
    while (spent := time.monotonic() - begun) < 60 * minutes or not in_one_process:
        phases.append(phase(chance, chaos))
        print(f"phase {len(phases) - 1} at {spent:.0f} s:", phases[-1], flush=True)
        if start is not None:
            in_one_process += 1
            continue
        if spent < 30 * minutes:
            how = next(hows)
            restarted(how, chaos)
            print("  the agent is", how, flush=True)
        else:
            product.wait_for("the recorder is full", recorder_filled, 480)
            chaos.work.signal(signal.SIGSTOP)
            time.sleep(20)  # what the phase left is over
            start = Footprint.of(agent.pid)
            chaos.work.signal(signal.SIGCONT)
    chaos.work.stop()
    time.sleep(20)
    assert start is not None
    judged(agent, phases, start)
    check("the agent stops with status 0", agent.stop() == 0)


main()
