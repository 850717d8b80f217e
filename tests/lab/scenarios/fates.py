#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Requests that hang, are cut off, cancelled or torn down end as what they are
# lab: no-mount
# lab: timeout=1200
"""The fates of requests that are not simply answered, each made on purpose."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, "/lab")
import product
import truth
import wire
from product import SHARE_DIR, Agent, Rows, check, lab

from aodasync.events import Flag, Kind, Outcome
from aodasync.smb.commands import COMMAND_CODES

ECHO = COMMAND_CODES["SMB2_ECHO"]
READ = COMMAND_CODES["SMB2_READ"]
HANG_SEC = 3.0
CAPTURE = Path("/run/lab/wire.pcap")

_READER = """
import sys
file = open(sys.argv[1], "rb", 0)
print(flush=True)
input()
print(len(file.read(4096)), "bytes")
"""


def mount(point: str, options: str) -> Path:
    """A mount with a connection of its own."""
    lab(f'lab_mount "nosharesock,nolease,cache=none,{options}" {point}')
    return Path(point)


def reader(path: Path) -> subprocess.Popen[bytes]:
    """A process that reads the file once somebody writes a line to it, and then ends."""
    child = subprocess.Popen(
        ["/usr/bin/python3", "-c", _READER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def go(child: subprocess.Popen[bytes]) -> None:
    """Let the reader read."""
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()


def in_flight(agent: Agent) -> tuple[list[dict[str, Any]], Path]:
    """The requests without an answer, as a bundle made now shows them."""
    bundle = agent.snapshot()
    described: list[dict[str, Any]] = json.loads(product.bundle_file(bundle, "inflight.json"))
    return described, bundle


def rows_of(agent: Agent, kind: int = Kind.REQUEST) -> Rows:
    """What the agent has recorded so far."""
    time.sleep(1)
    rows = product.bundle_events(agent.snapshot())
    chosen: Rows = rows[rows["kind"] == kind]
    return chosen


def outcomes(rows: Rows) -> dict[str, int]:
    """Counts by outcome."""
    return dict(Counter(Outcome(outcome).name for outcome in rows["outcome"]))


def until(agent: Agent, found: Callable[[Rows], Any], timeout_sec: float) -> Rows:
    """Snapshots until one of them has what is looked for; returns its requests."""
    deadline = time.monotonic() + timeout_sec
    while True:
        rows = rows_of(agent)
        if found(rows) or time.monotonic() > deadline:
            return rows
        time.sleep(1)


def hung(agent: Agent) -> None:
    """The server stands still for a while, then answers."""
    share = mount("/mnt/hung", "echo_interval=60")
    child = reader(share / "file")
    lab("lab_server_stop")
    go(child)
    time.sleep(HANG_SEC)
    flying, _ = in_flight(agent)
    of_child = [request for request in flying if request["tgid"] == child.pid]
    check(
        "the hung READ is in inflight.json",
        [r["command"] for r in of_child] == ["SMB2_READ"],
        flying,
    )
    if of_child:
        age = of_child[0]["age_ms"]
        check("with its age", HANG_SEC * 1e3 <= age <= HANG_SEC * 1e3 + 5000, f"{age} ms")
        check(
            "its process and its server",
            of_child[0]["comm"] == "python3" and of_child[0]["server"] == product.SERVER,
            of_child[0],
        )
    lab("lab_server_cont")
    child.wait(30)
    rows = rows_of(agent)
    of_child_rows = rows[(rows["tgid"] == child.pid) & (rows["command"] == READ)]
    check(
        "it was answered in the end",
        outcomes(of_child_rows) == {"ANSWERED": 1},
        outcomes(of_child_rows),
    )
    took_ms = float(product.latency_ms(of_child_rows).max(initial=0))
    check(
        "and took as long as the server stood still", took_ms >= HANG_SEC * 1e3, f"{took_ms:.0f} ms"
    )
    lab("lab_umount /mnt/hung")


def cut_off(agent: Agent) -> None:
    """The client gives the connection up and makes a new one."""
    share = mount("/mnt/cut", "echo_interval=1")
    child = reader(share / "file")
    lab("lab_server_stop")
    go(child)

    def is_cut(rows: Rows) -> bool:
        return bool(((rows["tgid"] == child.pid) & (rows["outcome"] == Outcome.RETRY)).any())

    rows = until(agent, is_cut, 60)
    lab("lab_server_cont")
    child.wait(60)
    of_child = rows[(rows["tgid"] == child.pid) & (rows["command"] == READ)]
    check(
        "a reconnect ends the READ as retry",
        outcomes(of_child).get("RETRY", 0) >= 1,
        outcomes(of_child),
    )
    cut = of_child[of_child["outcome"] == Outcome.RETRY]
    if not len(cut):
        return
    check(
        "it has no time of receipt and no status",
        not cut["received_ns"].any() and not cut["status"].any(),
        cut.tolist(),
    )
    # What the client makes of it (a retry, an error, an empty read) is its own affair.
    assert child.stdout is not None
    print("the process's read gave", child.stdout.read().decode().strip() or "an error", flush=True)
    reconnects = rows_of(agent, Kind.RECONNECT)
    check("the reconnect is an event of its own", len(reconnects) >= 1, len(reconnects))
    connections = set(cut["connection_id"].tolist())
    check(
        "of that connection", connections <= set(reconnects["connection_id"].tolist()), connections
    )
    lab("lab_umount /mnt/cut")


def cancelled(agent: Agent) -> None:
    """Whoever waits is killed."""
    share = mount("/mnt/cancelled", "echo_interval=60")
    statting = subprocess.Popen(
        [
            "/usr/bin/python3",
            "-c",
            "import os, sys; input(); os.stat(sys.argv[1])",
            str(share / "other"),
        ],
        stdin=subprocess.PIPE,
    )
    lab("lab_server_stop")
    go(statting)
    time.sleep(2)
    before, _ = in_flight(agent)
    commands = [request["command"] for request in before if request["tgid"] == statting.pid]
    check("its requests are in flight", len(commands) >= 1, commands)
    statting.kill()
    statting.wait(30)
    time.sleep(1)
    lab("lab_server_cont")
    time.sleep(2)
    rows = rows_of(agent)
    of_child = rows[
        (rows["tgid"] == statting.pid)
        & (rows["issued_ns"] >= min((r["issued_ns"] for r in before), default=0))
    ]
    print("killed waiter:", commands, outcomes(of_child), flush=True)
    check(
        "a killed waiter's requests end as cancelled",
        outcomes(of_child).get("CANCELLED", 0) == len(commands),
        outcomes(of_child),
    )
    lab("lab_umount /mnt/cancelled")


def torn_down(agent: Agent) -> None:
    """The share is unmounted by force while the server is silent."""
    mount("/mnt/torn", "echo_interval=8")
    connection = int(rows_of(agent)["connection_id"].max())
    lab("lab_server_stop")

    def echoes() -> list[dict[str, Any]]:
        flying, _ = in_flight(agent)
        return [
            r for r in flying if r["command"] == "SMB2_ECHO" and r["connection_id"] == connection
        ]

    found = product.wait_for("an ECHO in flight", echoes, 30)
    forced = subprocess.Popen(["umount", "-f", "/mnt/torn"])
    time.sleep(1)
    forced.kill()
    forced.wait(60)

    def is_torn(rows: Rows) -> bool:
        return any((rows["message_id"] == r["message_id"]).any() for r in found)

    rows = until(agent, lambda rows: is_torn(rows[rows["connection_id"] == connection]), 60)
    lab("lab_server_cont")
    of_connection = rows[rows["connection_id"] == connection]
    of_echo = of_connection[of_connection["message_id"] == found[0]["message_id"]]
    print("umount -f:", outcomes(of_connection), flush=True)
    check(
        "a request in flight at umount -f ends as shutdown",
        outcomes(of_echo) == {"SHUTDOWN": 1},
        outcomes(of_echo),
    )


def main() -> None:
    """Each fate in turn, on a connection of its own."""
    lab("modprobe cifs")
    for name in "file", "other":
        (SHARE_DIR / name).write_bytes(b"x" * 8192)
    capture = wire.Capture(CAPTURE)
    agent = Agent("fates", product.quiet_config(collector={"max_bundles_per_hour": 1000}))
    agent.start()
    agent.wait("agent_ready", 120)
    for fate in hung, cut_off, cancelled, torn_down:
        print(f"=== {fate.__name__}", flush=True)
        try:
            fate(agent)
        finally:
            lab("lab_server_cont")
    lab("lab_wait_for 60 sh -c '! ss -Htn state established dport = :445 | grep -q .'")
    time.sleep(2)
    flying, bundle = in_flight(agent)
    rows = product.bundle_events(bundle)
    requests = rows[rows["kind"] == Kind.REQUEST]
    print("all:", outcomes(requests), flush=True)
    print("trouble:", dict(Counter(Kind(kind).name for kind in rows["kind"] if kind)), flush=True)
    check("nothing is left in flight", not flying, flying)
    unknown = requests[
        (requests["outcome"] == Outcome.UNKNOWN) | (requests["outcome"] == Outcome.IN_FLIGHT)
    ]
    check("every request has a known outcome", len(unknown) == 0, unknown.tolist())
    urgent = requests[requests["outcome"] != Outcome.ANSWERED]
    check(
        "the kernel woke the agent for each that was not answered",
        bool((urgent["flags"] & Flag.URGENT).all()),
    )
    losses = product.bundle_manifest(bundle)["losses"]
    check("nothing was lost", not any(losses.values()), losses)
    check("the agent stops with status 0", agent.stop() == 0)
    check("the capture is complete", capture.stop() == 0)
    seen = wire.read(CAPTURE)
    result = truth.match(rows, seen)
    truth.print_table(result, seen)
    truth.report(result, seen)


main()
