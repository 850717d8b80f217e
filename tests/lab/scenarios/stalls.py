#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Processes that wait for a reconnect or for credits, with no request on its way
# lab: no-mount
# lab: kernels=6.12 newest
# lab: timeout=600
"""Operations that hang before any request of theirs: told while they do, with their owners."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, "/lab")
import product
from product import Agent, check, lab

MOUNT = Path("/mnt/stalls")
AGE_SEC = 6.0
SLACK_SEC = 4.0  # two looks, and an emulated machine
CREDITS = 16
WRITERS = 24

_OPEN = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDONLY))"
_WRITE = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
while True:
    os.pwrite(file, b"x" * 65536, 0)
    os.fsync(file)
"""


def python(code: str, path: Path) -> subprocess.Popen[bytes]:
    """A process of its own."""
    return subprocess.Popen(["/usr/bin/python3", "-c", code, str(path)], stderr=subprocess.DEVNULL)


def members(bundle: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The operations inside the client, and the requests in flight."""
    operations: list[dict[str, Any]] = json.loads(product.bundle_file(bundle, "operations.json"))
    requests: list[dict[str, Any]] = json.loads(product.bundle_file(bundle, "inflight.json"))
    return operations, requests


def quiet(agent: Agent) -> bool:
    """Whether every episode is over."""
    return len(agent.events("anomaly_detected")) == len(agent.events("anomaly_ended"))


def justified(agent: Agent, alarms: list[product.Event]) -> tuple[bool, str]:
    """Whether no request of the threads told was recorded while they are said to have waited."""
    rows = product.bundle_events(agent.snapshot())
    skew_sec = time.time() - time.monotonic()
    told = [
        (product.unix_time(alarm) - skew_sec, stall) for alarm in alarms for stall in stalls(alarm)
    ]
    for at_sec, stall in told:
        since_ns = 1e9 * at_sec - 1e6 * stall["quiet_ms"] + 1e9
        of_thread = rows[(rows["pid"] == stall["pid"]) & (rows["kind"] == 0)]
        if ((of_thread["issued_ns"] < 1e9 * at_sec) & (of_thread["released_ns"] > since_ns)).any():
            return False, str(stall)
    hung = all(alarm["anomaly"] == "hang" and stalls(alarm) for alarm in alarms)
    return hung, f"{len(told)} told"


def stalls(alarm: product.Event) -> list[dict[str, Any]]:
    """Those that an alarm names."""
    found: list[dict[str, Any]] = alarm.get("stalls", [])
    return found


def lose(agent: Agent) -> None:
    """The server is gone; an operation begins when the client has noticed already."""
    lab(f'lab_mount "hard,echo_interval=1,nosharesock,actimeo=0" {MOUNT}')
    lab("lab_drop")
    try:
        time.sleep(10)  # three echoes without an answer, and what hung meanwhile is cut off
        product.wait_for("what hung before is over", lambda: quiet(agent), 30)
        begun, told = time.time(), len(agent.events("anomaly_detected"))
        child = python(_OPEN, MOUNT / "file")
        event = agent.wait("anomaly_detected", AGE_SEC + 20, skip=told)
        took_sec = product.unix_time(event) - begun
        print("lost:", event, flush=True)
        check("a hang is told", event["anomaly"] == "hang", event["anomaly"])
        check("while it lasts", child.poll() is None)
        check("in time", AGE_SEC <= took_sec <= AGE_SEC + SLACK_SEC, f"{took_sec:.1f} s")
        check("no request hangs", event["command"] == [] and event["in_flight"] == 0, event)
        stall = (*stalls(event), {})[0]
        owner = (stall.get("pid"), stall.get("comm"))
        check("its process is named", owner == (child.pid, "python3"), owner)
        check("and what it waits for", stall.get("waits_for") == "reconnect", stall)
        check("and the server", event["server"] == product.SERVER, event["server"])
        bundle = Path(agent.wait("bundle_written", 60, skip=told, anomaly="hang")["path"])
        operations, requests = members(bundle)
        mine = [each for each in operations if each["pid"] == child.pid]
        check("operations.json has it", [o["waits_for"] for o in mine] == ["reconnect"], mine)
        check("inflight.json has no request of it", child.pid not in {r["pid"] for r in requests})
        stack = product.bundle_file(bundle, "stacks.log").decode()
        mine_stack = stack.partition(f"==> pid {child.pid} ")[2].partition("==>")[0]
        check("stacks.log shows where it waits", "smb2_reconnect" in mine_stack, mine_stack)
        print("verdict:", product.bundle_manifest(bundle)["verdict"], flush=True)
    finally:
        lab("lab_clear_net || true")
    child.wait(60)
    agent.wait("anomaly_ended", 30, skip=told)
    lab(f"lab_umount {MOUNT}")
    operations, _ = members(agent.snapshot())
    check("nothing is left inside the client", not operations, operations)


def starve(agent: Agent) -> None:
    """More processes than the server gives credits, first when it answers, then when not."""
    lab(f'lab_stop_samba; lab_start_samba "smb2 max credits = {CREDITS}"')
    lab(f'lab_mount "echo_interval=60,nosharesock,nolease" {MOUNT}')
    told = len(agent.events("anomaly_detected"))
    writers = [python(_WRITE, MOUNT / f"file-{number}") for number in range(WRITERS)]
    try:
        time.sleep(4 * AGE_SEC)
        operations, _ = members(agent.snapshot())
        waits = Counter(each["waits_for"] for each in operations)
        print("a busy server:", len(operations), "operations,", dict(waits), flush=True)
        alarms = agent.events("anomaly_detected")[told:]
        check("who is told to stall had no request", *justified(agent, alarms))
        lab("lab_server_stop")
        time.sleep(AGE_SEC + SLACK_SEC)
        operations, requests = members(agent.snapshot())
        flying = {request["pid"] for request in requests}
        starved = {o["pid"] for o in operations if o["waits_for"] == "credits"} - flying
        print("stopped:", len(requests), "requests,", len(starved), "without", flush=True)
        check("some wait for credits, without a request", len(starved) > 0, operations)
        check("they are processes of ours", starved <= {writer.pid for writer in writers}, starved)
        lab("lab_server_cont")
        product.wait_for("every episode is over", lambda: quiet(agent), 60)
        servers = {alarm["server"] for alarm in agent.events("anomaly_detected")[told:]}
        check("the server is known", servers == {product.SERVER}, servers)
        counted = max(event["count"] for event in agent.events("anomaly_ended")[told:])
        both = f"{counted}, {len(requests)} of them requests"
        check("the episode counts them with the requests", counted > len(requests), both)
    finally:
        lab("lab_server_cont")
        for writer in writers:
            writer.kill()
            writer.wait(60)
    lab(f"lab_umount {MOUNT}")
    operations, _ = members(agent.snapshot())
    check("nothing is left inside the client", not operations, operations)


def main() -> None:
    """Both waits, one after another."""
    lab("modprobe cifs")
    (product.SHARE_DIR / "file").write_bytes(b"x" * 8192)
    off: dict[str, Any] = {"enabled": False}
    hang = {"age_ms": AGE_SEC * 1e3, "cooldown_sec": 0}
    config = {
        "watcher": {"actions": ["stacks"]},
        "guardian": {"anomalies": {"hang": hang, "connection": off, "drift": off}},
        "collector": {"max_bundles_per_hour": 1000},
    }
    agent = Agent("stalls", config)
    agent.start()
    ready = agent.wait("agent_ready", 120)
    followed = [each for each in ready["attached"] if each.startswith("operations:")]
    check("operations are followed from both ends", len(followed) == 2, followed)
    for wait in lose, starve:
        print(f"=== {wait.__name__}", flush=True)
        wait(agent)
    losses = product.bundle_manifest(agent.snapshot())["losses"]
    check("nothing was lost", not any(losses.values()), losses)
    check("the agent stops with status 0", agent.stop() == 0)


main()
