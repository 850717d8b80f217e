#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=The file of each request is the wire's: names of CREATE, ids of all others
# lab: no-mount
# lab: timeout=900
"""Which file a request is about, against a packet capture; then what a user sees of it."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, "/lab")
import bpf_cost
import product
import wire
from files_on_wire import ALL_ONES, CREATE, FilesOnWire, files_on_wire
from product import MOUNT, OUT, SHARE_DIR, Agent, check, lab
from truth import described

from aodasync.events import EventArray
from aodasync.evidence.file_book import File
from aodasync.probes import open_probe
from aodasync.probes.name_ring import NAME_MAX_BYTES
from aodasync.probes.records import NAME_BYTES
from aodasync.probes.request_probe import RequestProbe
from aodasync.smb.commands import command_name

CAPTURE = Path("/run/lab/wire.pcap")
CACHE = Path("/var/cache/aodasync")
FEWEST_REQUESTS, FEWEST_COMMANDS = 1000, 8
COST_FILES, COST_PARTS, MOST_COST = 15, 25, 1.1
DEEP = "/".join(f"directory-{n:02}" for n in range(24))


def work(probe: RequestProbe) -> tuple[EventArray, list[File]]:
    """Do nearly everything on one connection; its requests and their files."""
    begun = len(probe.read(100_000))
    (SHARE_DIR / "small").mkdir()
    lab(
        'nsenter --mount --target "$(lab_server_pid)" '
        f"mount -t tmpfs -o size=1m,mode=777 tmpfs {SHARE_DIR}/small"
    )
    lab('lab_mount "nolease,cache=none"')
    argv = ["/usr/bin/python3", "/lab/smb_workload.py", str(MOUNT), str(MOUNT), str(SHARE_DIR)]
    parts: list[EventArray] = []
    files: list[File] = []
    workload = subprocess.Popen([*argv, "--files", "60", "--idle-sec", "1"])
    while workload.poll() is None:
        time.sleep(0.2)
        _take(probe, parts, files)
    check("the workload ran", workload.returncode == 0, begun)
    deep = MOUNT / DEEP
    deep.mkdir(parents=True)
    (deep / "größe-日本.txt").write_text("x")
    lab("lab_umount")
    time.sleep(1)
    _take(probe, parts, files)
    return np.concatenate(parts), files


def _take(probe: RequestProbe, parts: list[EventArray], files: list[File]) -> None:
    rows = probe.read(100_000)
    rows = rows[rows["kind"] == 0]
    parts.append(rows)
    files += probe.files().of(rows)


def compare(rows: EventArray, files: list[File], on_wire: FilesOnWire) -> None:
    """Names and ids of every request that both sides know."""
    compared, differing, untold = Counter[str](), [], 0
    for row, file in zip(rows, files, strict=True):
        message, command = int(row["message_id"]), int(row["command"])
        ids = file.persistent_id, file.volatile_id
        if command == CREATE and message in on_wire.names:
            same = _is_name(file.name, on_wire.names[message])
            if message in on_wire.answered:
                same = same and ids == on_wire.created.get(message, (0, 0))
            else:
                untold += 1
        elif (message, command) in on_wire.ids:
            expected = on_wire.ids[message, command]
            if expected == ALL_ONES:
                # An IOCTL by itself, as for referrals, is about no file.
                create = on_wire.create_of.get(message, 0)
                if create and create not in on_wire.answered:
                    untold += 1
                    continue
                expected = on_wire.created.get(create, (0, 0))
            same = ids == expected
            if expected != (0, 0) and not file.name:
                same = False
        else:
            continue
        compared[command_name(command)] += 1
        if not same:
            told = on_wire.names.get(message), on_wire.ids.get((message, command))
            differing.append((command_name(command), message, file, told))
            expected_id = on_wire.created.get(message), on_wire.create_of.get(message)
            print("differs:", *differing[-1], *expected_id, described(row), flush=True)
    print("compared:", dict(compared), flush=True)
    missing = len(on_wire.names) + len(on_wire.ids) - compared.total() - untold
    check("requests were compared", compared.total() >= FEWEST_REQUESTS, compared.total())
    check("few ids are not told by the capture", untold <= compared.total() // 20, untold)
    check("of eight commands", len(compared) >= FEWEST_COMMANDS, sorted(compared))
    check("no request of the wire is missing", missing <= 2, missing)
    check("every name and id is the wire's", not differing, (len(differing), differing[:5]))


def _is_name(ours: str, wires: str) -> bool:
    name = wires.replace("\\", "/")
    if ours.startswith(".../"):
        is_long = len(name.encode()) > NAME_MAX_BYTES or 2 * len(name) >= NAME_BYTES
        return is_long and name.endswith(ours.removeprefix("..."))
    return ours == (name or ".")


def work_on_files() -> None:
    """Requests of which every third one or so is a CREATE."""
    for number in range(COST_FILES):
        path = MOUNT / f"cost-{number % 7}"
        path.write_bytes(b"x" * 4096)
        path.stat()
        path.read_bytes()
        path.unlink()


def with_and_without(order: tuple[bool, bool]) -> list[float]:
    """BPF a request with files, in what it is without, of each part: both see the same requests.

    The last one to attach runs first, and has it colder.
    """
    probes, programs = {}, {}
    for file_names in order:
        others = bpf_cost.ids()
        probe = asyncio.run(open_probe(cache_dir=CACHE, file_names=file_names))
        probes[file_names], programs[file_names] = probe, bpf_cost.ids() - others
        refused = [each for each in probe.plan.tried if each.role == "method"]
        named = "with" if file_names else "without"
        check(f"{named} files nothing better was refused", not refused, refused)
    parts: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for _ in range(COST_PARTS):
        before = {on: bpf_cost.runs(found) for on, found in programs.items()}
        work_on_files()
        for on, found in programs.items():
            parts[on].append(bpf_cost.a_request(before[on], bpf_cost.runs(found)))
        for probe in probes.values():
            probe.read(100_000)
    for probe in probes.values():
        probe.close()
    for on, found_parts in parts.items():
        each = bpf_cost.least(found_parts)
        print(f"files {on}:", {k: round(ns) for k, ns in sorted(each.items()) if ns}, flush=True)
    pairs = zip(parts[True], parts[False], strict=True)
    return [sum(on.values()) / sum(off.values()) for on, off in pairs]


def cost() -> None:
    """With and without files, once one attached before the other and once the other way round.

    Who runs first has the memory cold, and takes longer by some factor: by the same one in
    both orders, so that the geometric mean of their medians is without it.
    """
    with bpf_cost.counted():
        ratios = [with_and_without(order) for order in ((True, False), (False, True))]
    medians = [statistics.median(parts) for parts in ratios]
    ratio = statistics.geometric_mean(medians)
    found = f"{ratio:.3f} ({', '.join(f'{each:.3f}' for each in medians)})"
    check(f"files cost at most {MOST_COST - 1:.0%} more BPF", ratio <= MOST_COST, found)


def as_a_user(agent: Agent) -> None:
    """``slow`` shows the file of a write."""
    agent.start()
    agent.wait("agent_ready", 120)
    with (OUT / "slow.jsonl").open("wb") as out:
        slow = subprocess.Popen(["aodasync", "slow", "0", "--json", "--seconds", "6"], stdout=out)
        while slow.poll() is None:
            (MOUNT / "seen by a user").write_bytes(b"x" * 4096)
            time.sleep(0.5)
    shown = [json.loads(line) for line in (OUT / "slow.jsonl").read_text().splitlines()]
    commands = {row["command"] for row in shown if row["file"] == "seen by a user"}
    check("slow names the file of a write", {"SMB2_CREATE", "SMB2_WRITE"} <= commands, commands)
    check("the agent stops with status 0", agent.stop() == 0)


def main() -> None:
    """Compare with the wire, then look as a user does."""
    lab('lab_stop_samba; LAB_SMB_SHARE_LINES="force user = lab" lab_start_samba')
    lab("modprobe cifs")
    probe = asyncio.run(open_probe(cache_dir=CACHE))
    print(probe.plan.name, [a for a in probe.plan.attachments if a.role == "paths"], flush=True)
    check("nothing is missing", not any("names" in n for n in probe.plan.notes), probe.plan.notes)
    capture = wire.Capture(CAPTURE)
    rows, files = work(probe)
    check("the capture is whole", capture.stop() == 0)
    losses = {name: count for name, count in probe.losses().items() if count}
    check("nothing was lost", not losses, losses)
    unseen = probe.figures()["name_unseen"]
    check("every CREATE's name was seen", unseen == 0, unseen)
    probe.close()
    compare(rows, files, files_on_wire(CAPTURE))
    lab('lab_mount "nolease,cache=none"')
    cost()
    as_a_user(Agent("files", product.quiet_config()))


main()
