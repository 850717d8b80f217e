#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Kprobes record what fentry does, tracepoints what their notes promise
# lab: no-mount
# lab: timeout=900
"""All ways to look at the client at once, over one workload; then the product on its last one."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, "/lab")
import product
import wire
from libbpf import Libbpf, compare_members, compare_parameters, compare_types
from methods import ECHO, Probes, compare_kprobes, compare_tracepoints, requests, skips
from product import MOUNT, OUT, SHARE_DIR, Agent, check, lab
from trees import trees_on_wire

from aodasync.probes import open_probe
from aodasync.probes.compiler.btf import Btf
from aodasync.probes.preparation import METHODS
from aodasync.probes.request_probe import RequestProbe
from aodasync.smb.commands import COMMAND_CODES

DIRECT = Path("/mnt/direct")
CAPTURE = Path("/run/lab/wire.pcap")
CACHE = Path("/var/cache/aodasync")
BTF = Path("/sys/kernel/btf")
HANG_SEC = 11


def types_agree() -> None:
    """The BTF reader against libbpf: the client's split BTF, and a part of the kernel's."""
    kernel, oracle = Btf((BTF / "vmlinux").read_bytes()), Libbpf(BTF / "vmlinux")
    client = Btf((BTF / "cifs").read_bytes(), kernel)
    client_oracle = Libbpf(BTF / "cifs", oracle)
    check("the client's types end where libbpf's do", client.end_id == client_oracle.end_id)
    ids = range(client.first_id, client.end_id)
    for compare in compare_types, compare_members, compare_parameters:
        result = compare(client, client_oracle, ids)
        what = f"{compare.__name__}: all of the client's agree with libbpf"
        check(what, result.compared > 1000 and not result.differing, result.compared)
        print(*result.differing[:3], sep="\n", end="", flush=True)
    result = compare_members(kernel, oracle, range(20, kernel.end_id, 20))
    what = "compare_members: every twentieth type of the kernel agrees with libbpf"
    check(what, result.compared > 2000 and not result.differing, result.compared)


async def open_all() -> Probes:
    """One probe a method, each alone."""
    probes = {}
    for method in METHODS:
        probe = probes[method] = await open_probe(methods=(method,), cache_dir=CACHE)
        failed = {each.target: each.error for each in probe.plan.attachments if each.error}
        print(f"{method}: {probe.plan.name} {dict(probe.plan.steps_ms)} {failed or ''}", flush=True)
        check(f"{method} attached", probe.plan.name.startswith(method), probe.plan.notes)
    return probes


def start_server() -> None:
    """A Samba that serves as an ordinary user, with a folder that fills up at once."""
    lab('lab_stop_samba; LAB_SMB_SHARE_LINES="force user = lab" lab_start_samba')
    (SHARE_DIR / "small").mkdir()
    lab(
        'nsenter --mount --target "$(lab_server_pid)" '
        f"mount -t tmpfs -o size=1m,mode=777 tmpfs {SHARE_DIR}/small"
    )


def flying(probe: RequestProbe) -> set[tuple[int, int]]:
    """Requests in flight: command and message id."""
    return {(int(row["command"]), int(row["message_id"])) for row in probe.in_flight()}


def hang(probes: Probes) -> None:
    """The server stands still until one of the two connections is given up and made anew."""
    for mount in MOUNT, DIRECT:
        (mount / f"hangs-{mount.name}").write_bytes(b"x" * 8192)
    lab("lab_server_stop")
    readers = [
        subprocess.Popen(["cat", str(mount / f"hangs-{mount.name}")], stdout=subprocess.DEVNULL)
        for mount in (MOUNT, DIRECT)
    ]
    for pause_sec in 2, HANG_SEC - 2:
        time.sleep(pause_sec)
        seen = {method: flying(probe) for method, probe in probes.items()}
        print("in flight:", {m: sorted(s, key=str) for m, s in seen.items()}, flush=True)
        if pause_sec == 2:
            few = skips(probes["fentry"])
            differing = seen["fentry"] ^ seen["kprobe"]
            check("kprobes see in flight what fentry does", len(differing) <= few, differing)
            others = {each for each in seen["fentry"] if each[0] != ECHO} - seen["tracepoint"]
            check("the tracepoints all but ECHO", len(others) <= few, others)
    lab("lab_server_cont")
    for reader in readers:
        reader.wait(60)
    time.sleep(2)


def work(probes: Probes) -> None:
    """Mount twice, do nearly everything, hang, unmount."""
    lab("lab_mount")
    lab(f'lab_mount "nosharesock,nolease,cache=none,echo_interval=2" {DIRECT}')
    argv = ["/usr/bin/python3", "/lab/smb_workload.py", str(MOUNT), str(DIRECT), str(SHARE_DIR)]
    done = subprocess.run([*argv, "--files", "120"], stdout=subprocess.PIPE, text=True, check=True)
    print("workload:", json.loads(done.stdout), flush=True)
    hang(probes)
    lab(f"lab_umount; lab_umount {DIRECT}")
    product.wait_for("closed", lambda: not lab("ss -Htn state established dport = :445"), 30)
    time.sleep(1)


def compare_shares(probes: Probes) -> None:
    """Tree ids and their shares as the wire has them."""
    on_wire = trees_on_wire(CAPTURE)
    print("on the wire:", on_wire, flush=True)
    check("trees were connected, after the hang anew", len(on_wire) >= 5, len(on_wire))
    for method in "fentry", "kprobe":
        shares = dict(probes[method].shares())
        check(f"{method} names every tree's share", shares == on_wire, shares)


def doctor() -> str:
    """What a user sees of the plan; nothing in it may keep the agent from working."""
    done = subprocess.run(["aodasync", "doctor"], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    check("doctor says that the agent can work here", done.returncode == 0, done.returncode)
    return done.stdout


def without_types() -> None:
    """The product where the kernel's types are out of reach: its last way to look."""
    doctor()
    lab(f"mount -t tmpfs tmpfs {BTF}")
    agent = Agent("last", product.quiet_config())
    agent.start()
    ready = agent.wait("agent_ready", 120)
    check("without types the tracepoints serve", "fallback" in ready["probe"], ready["probe"])
    lab("lab_mount nolease")
    until = time.monotonic() + 25  # the second look at the client's totals is after 20 s
    number = 0
    while time.monotonic() < until:
        number += 1
        (MOUNT / f"missing-{number}").exists()
        if number % 10 == 0:
            (MOUNT / f"last-{number}").write_bytes(b"x")
    told = doctor()
    check(
        "doctor says what it does not see",
        told.count("note: fallback: ") == len(ready["notes"]) - 1,
    )
    check("and that the agent runs with it", "running, probe tracepoint" in told)
    bundle = agent.snapshot()
    rows = requests(product.bundle_events(bundle))
    writes = int((rows["command"] == COMMAND_CODES["SMB2_WRITE"]).sum())
    check("requests are recorded", writes == number // 10, f"{writes} of {number // 10} writes")
    manifest = product.bundle_manifest(bundle)
    check("the manifest has the notes", manifest["probe"]["notes"] == ready["notes"])
    status = json.loads(subprocess.check_output(["aodasync", "status", "--json"]))
    compared = status["sight"].get("client_sent", 0) > 50
    check("it was compared with the client's totals", compared, status["sight"])
    blind = agent.events("agent_blind")
    check("what it cannot see does not make it blind", not status["blind"] and not blind, blind)
    check("the agent stops with status 0", agent.stop() == 0)
    lab(f"lab_umount; umount {BTF}")


def main() -> None:
    """One boot for all."""
    lab(f"modprobe cifs; mkdir -p {DIRECT}")
    preemption = product.preemption()
    print(f"preemption {preemption}", flush=True)
    types_agree()
    start_server()
    CACHE.mkdir(mode=0o700, exist_ok=True)
    capture = wire.Capture(CAPTURE)
    probes = asyncio.run(open_all())
    work(probes)
    check("the capture is complete", capture.stop() == 0)
    rows = {method: probe.read(1_000_000) for method, probe in probes.items()}
    for method, probe in probes.items():
        np.save(OUT / f"{method}.npy", rows[method])
        lost = {name: count for name, count in probe.losses().items() if count}
        print(f"{method}: {len(rows[method])} rows, lost {lost}, {dict(probe.figures())}")
        left = flying(probe)
        check(f"{method}: nothing is left in flight", len(left) <= skips(probe), left)
    compare_kprobes(probes, rows)
    compare_tracepoints(probes, rows)
    compare_shares(probes)
    for probe in probes.values():
        probe.close()
    without_types()


main()
