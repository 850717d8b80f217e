#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=What a ring that overflows cannot hold is counted: recorded + lost is the wire
# lab: no-mount
# lab: timeout=900
"""A tiny ring, a fast workload, an agent that gets no CPU: every loss is counted."""

import json
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, "/lab")
import product
import truth
import wire
from product import MOUNT, Agent, check, lab

from aodasync.events import Kind
from aodasync.probes.ring import RECORD_BYTES

CAPTURE = Path("/run/lab/wire.pcap")
RING_BYTES = 64 * 1024
STALLS = 3
FILES = 120


def requests_of_files(directory: Path) -> None:
    """Some eight requests a file, as fast as one process can."""
    directory.mkdir()
    for number in range(FILES):
        path = directory / f"file-{number}"
        path.write_bytes(b"x" * 512)
        path.read_bytes()
        path.stat()
        path.unlink()


def main() -> None:
    """Stop the agent again and again while requests pass."""
    lab("modprobe cifs")
    capture = wire.Capture(CAPTURE)
    agent = Agent("overload", product.quiet_config(recorder={"ring_bytes": RING_BYTES}))
    agent.start()
    agent.wait("agent_ready", 120)
    assert agent.process is not None
    lab('lab_mount "nolease,cache=none"')
    for number in range(STALLS):
        requests_of_files(MOUNT / f"watched-{number}")
        agent.process.send_signal(signal.SIGSTOP)
        requests_of_files(MOUNT / f"stalled-{number}")
        agent.process.send_signal(signal.SIGCONT)
        time.sleep(2)
    lab("lab_umount")
    product.wait_for("closed", lambda: not lab("ss -Htn state established dport = :445"), 30)
    time.sleep(2)
    bundle = agent.snapshot()
    check("the agent stops with status 0", agent.stop() == 0)
    check("the capture is complete", capture.stop() == 0)

    rows, manifest = product.bundle_events(bundle), product.bundle_manifest(bundle)
    seen = wire.read(CAPTURE)
    result = truth.match(rows, seen)
    truth.print_table(result, seen)
    recorded = int((rows["kind"] == Kind.REQUEST).sum()) - len(result.never_sent)
    losses = manifest["losses"]
    lost = losses["ring_full"]
    capacity = RING_BYTES // RECORD_BYTES
    print(f"ring of {capacity} records; recorded {recorded}, lost {lost}", flush=True)
    on_wire = len(seen.requests)
    check("the ring did overflow", lost > 0, lost)
    check("and held about what it can", lost <= on_wire - STALLS * (capacity - 1), lost)
    check(
        "recorded + lost equals the wire",
        recorded + lost == on_wire,
        f"{recorded} + {lost}, {on_wire}",
    )
    check("what was recorded is the wire's", not result.only_recorded, len(result.only_recorded))
    wrong = [p for p in result.pairs if p.request.status != int(p.row["status"])]
    check("with the wire's statuses", not wrong, len(wrong))
    others = {name: count for name, count in losses.items() if count and name != "ring_full"}
    check("nothing else was lost", not others, others)
    told = sum(event["count"] for event in agent.events("events_lost", stage="ring_full"))
    check("the log tells the same loss", told == lost, told)
    left = json.loads(product.bundle_file(bundle, "inflight.json"))
    check("nothing is left in flight", not left, left)


main()
