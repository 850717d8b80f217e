#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Every request on the wire is recorded, with the right status and time
# lab: no-mount
# lab: timeout=1800
"""The agent's record against a packet capture: plain, signed, sealed and over two channels.

A file named ``variants`` (--add) with names of variants, one a line, leaves out the others.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, "/lab")
import product
import truth
import wire
from pings import PORT, Pings
from product import MOUNT, OUT, SHARE_DIR, Agent, Rows, check, lab

from aodasync.smb.commands import COMMAND_CODES, command_name

DIRECT = Path("/mnt/direct")
CAPTURE = Path("/run/lab/wire.pcap")
ONLY = Path(os.environ["LAB_FILES"], "variants")
TWO_CHANNELS = (
    'interfaces = "10.9.9.1;capability=RSS,speed=10000000000"',
    "bind interfaces only = no",
)
# Mount options and lines of smb.conf, by name.
VARIANTS: dict[str, tuple[str, Sequence[str]]] = {
    "plain": ("", ()),
    "sign": ("sign", ()),
    "seal": ("seal", ()),
    "multichannel": ("multichannel,max_channels=2", TWO_CHANNELS),
}
FEWEST_REQUESTS, FEWEST_COMMANDS = 3000, 12
FEWEST_SAMPLES = {50: 100, 99: 200}  # by percentile
NATIVE_LIMIT_US, MARGIN = 1000.0, 6
SEALED = ["ntlmssp.nt_password:lab"]  # tshark derives the session's keys from it


def start_server(*lines: str) -> None:
    """A Samba that serves as an ordinary user, so that some files are out of reach."""
    quoted = " ".join(f"'{line}'" for line in lines)
    lab(f'lab_stop_samba; LAB_SMB_SHARE_LINES="force user = lab" lab_start_samba {quoted}')
    small = SHARE_DIR / "small"
    small.mkdir(exist_ok=True)
    # Where the server's mounts are: `ip netns exec` gave it a namespace of its own.
    lab(
        'nsenter --mount --target "$(lab_server_pid)" '
        f"mount -t tmpfs -o size=1m,mode=777 tmpfs {small}"
    )


def client_totals() -> Counter[int]:
    """Requests by command as the client itself counts them, when it frees their MIDs.

    Of /proc/fs/cifs/Stats these are the tables "SMB3 CMD Number" of every
    connection. The totals of shares further below ("Creates: ...") are no oracle:
    num_locks of struct cifs_tcon's stats shares a union with them, so that each
    byte-range lock counts as a CREATE and an oplock break, too.
    """
    totals: Counter[int] = Counter()
    for line in Path("/proc/fs/cifs/Stats").read_text().splitlines():
        columns = line.split()
        if len(columns) == 5 and all(column.isdecimal() for column in columns):
            totals[int(columns[0])] += int(columns[1])
    return totals


def work(tag: str) -> tuple[Counter[int], int]:
    """Run the workload; returns the client's totals, and when they were read (monotonic)."""
    argv = ["/usr/bin/python3", "/lab/smb_workload.py", str(MOUNT), str(DIRECT), str(SHARE_DIR)]
    done = subprocess.run([*argv, "--tag", tag], stdout=subprocess.PIPE, text=True, check=True)
    print("workload:", json.loads(done.stdout), flush=True)
    return client_totals(), time.monotonic_ns()


def observe(name: str, variant: str) -> tuple[Counter[int], int, Pings]:
    """Mount, work, unmount: while the capture and the agent run."""
    options = f",{variant}" if variant else ""
    lab(f'lab_mount "{variant}"')
    lab(f'lab_mount "nosharesock,nolease,cache=none,echo_interval=2{options}" {DIRECT}')
    pings = Pings()
    totals, read_ns = work(name)
    pings.stop()
    lab(f"lab_umount; lab_umount {DIRECT}")
    product.wait_for("closed", lambda: not lab("ss -Htn state established dport = :445"), 30)
    time.sleep(1)
    return totals, read_ns, pings


def check_owners(rows: Rows) -> None:
    """Nothing is blamed on the thread that only receives."""
    for command in "SMB2_READ", "SMB2_WRITE":
        of_command = rows[(rows["kind"] == 0) & (rows["command"] == COMMAND_CODES[command])]
        comms = Counter(comm.decode() for comm in of_command["comm"])
        print(f"{command} was issued by", dict(comms), flush=True)
        check(f"{command} is never cifsd's", "cifsd" not in comms)
        check(f"{command} has the process that asked", comms["python3"] > 0)
        check(f"{command} always has a pid", (of_command["pid"] != 0).all())
        if command == "SMB2_WRITE":
            workers = sum(count for comm, count in comms.items() if comm.startswith("kworker"))
            check("writeback is the kworker's that did it", workers > 0, workers)


def check_totals(rows: Rows, totals: Counter[int], read_ns: int) -> None:
    """What was released until the client's totals were read, command by command."""
    until = rows[(rows["kind"] == 0) & (rows["released_ns"] <= read_ns)]
    recorded = Counter(until["command"].tolist())
    differing = {
        command_name(command): f"Stats {totals[command]}, recorded {recorded[command]}"
        for command in sorted(totals | recorded)
        if totals[command] != recorded[command]
    }
    what = f"{recorded.total()} of {totals.total()}"
    check(
        "per command, what was recorded equals /proc/fs/cifs/Stats",
        not differing,
        differing or what,
    )


def check_delay(pairs: list[truth.Pair], ping_us: Any) -> None:
    """What the recorded interval adds to the wire's, for requests of one segment.

    Where instructions run natively the bound is the product's own. An emulated
    machine is busy with the workload itself, so there it is the wake-up delay of a
    small TCP request in the same machine at the same time, with MARGIN for what the
    SMB client does besides in emulated instructions: a compound's other parts, and
    signing or sealing them (2 to 5 times the pings' were seen).
    """
    emulated = os.environ["LAB_EMULATED"] == "1"
    print(
        f"wake-up delay of {len(ping_us)} pings: "
        + ", ".join(f"p{q} {np.percentile(ping_us, q):.0f} us" for q in FEWEST_SAMPLES)
    )
    for q, fewest in FEWEST_SAMPLES.items():
        limit_us = MARGIN * float(np.percentile(ping_us, q)) if emulated else NATIVE_LIMIT_US
        over = {}
        for command in sorted({pair.request.command for pair in pairs}):
            beyond_us = truth.excess_us([p for p in pairs if p.request.command == command], 0.05)
            if len(beyond_us) >= fewest and np.percentile(beyond_us, q) > limit_us:
                over[command_name(command)] = f"{np.percentile(beyond_us, q):.0f} us"
        bound = f"{MARGIN} times the pings'" if emulated else "native"
        check(
            f"p{q} of the difference, per command of {fewest} requests or more, "
            f"is at most {limit_us:.0f} us + 5 % ({bound})",
            not over,
            over,
        )


def run(name: str, variant: str, server: Sequence[str]) -> None:
    """One variant of the mount options: capture, agent, mount, work, compare."""
    preemption = product.preemption()
    print(f"=== {name} on {os.uname().release}, preemption {preemption}", flush=True)
    start_server(*server)
    capture = wire.Capture(CAPTURE, f"port 445 or port {PORT}")
    agent = Agent(name, product.quiet_config())
    agent.start()
    ready = agent.wait("agent_ready", 120)
    print("ready:", {key: ready[key] for key in ("probe", "start_ms", "attached")}, flush=True)
    totals, read_ns, pings = observe(name, variant)
    bundle = agent.snapshot()
    check("the agent stops with status 0", agent.stop() == 0)
    check("the capture is complete", capture.stop() == 0)

    shutil.copy(bundle, OUT)
    rows, manifest = product.bundle_events(bundle), product.bundle_manifest(bundle)
    seen = wire.read(CAPTURE, SEALED if name == "seal" else [])
    check("every response's request is in the capture", not seen.strays, seen.strays[:3])
    result = truth.match(rows, seen)
    truth.print_table(result, seen)
    truth.report(result, seen)
    commands = {request.command for request in seen.requests}
    check(
        f"the workload had {FEWEST_REQUESTS} requests of {FEWEST_COMMANDS} commands",
        len(seen.requests) >= FEWEST_REQUESTS and len(commands) >= FEWEST_COMMANDS,
        f"{len(seen.requests)} of {len(commands)}",
    )
    check_delay(result.pairs, pings.excess_us(CAPTURE, [r.sent_ns for r in seen.requests]))
    check_owners(rows)
    check_totals(rows, totals, read_ns)
    losses = manifest["losses"]
    check("nothing was lost", not any(losses.values()), losses)
    left = json.loads(product.bundle_file(bundle, "inflight.json"))
    check("nothing is left in flight", not left, left)
    told = (
        agent.events("events_lost") + agent.events("agent_blind") + agent.events("task_restarted")
    )
    check("the agent reports no loss, no blindness, no restart", not told, told)
    if product.failed() and not list(OUT.glob("*.pcap")):
        shutil.move(CAPTURE, OUT / f"{name}.pcap")
    CAPTURE.unlink(missing_ok=True)


def main() -> None:
    """Every variant in one boot."""
    lab("modprobe cifs; mkdir -p /mnt/direct")
    names = ONLY.read_text().split() if ONLY.exists() else VARIANTS
    for name in names:
        run(name, *VARIANTS[name])


main()
