#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=An agent that is started because something hangs reports what hangs
# lab: no-mount
# lab: timeout=600
"""The agent comes five seconds after the server stopped, and sees requests from before it."""

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, "/lab")
import numpy as np
import product
from product import SHARE_DIR, Agent, check, lab

MOUNT = Path("/mnt/hung")
AGE_SEC = 4.0
BEFORE_SEC = 5.0
SLACK_SEC = 2.0
READERS = 3

_READ = "import sys; open(sys.argv[1], 'rb', 0).read(4096)"


def judged(agent: Agent, ready: product.Event, begun: float, pids: set[int]) -> None:
    """What the agent says about requests of processes that began before it."""
    event = agent.wait("anomaly_detected", AGE_SEC + SLACK_SEC + 10)
    took_sec = product.unix_time(event) - product.unix_time(ready)
    print("detected:", event, flush=True)
    check("it is a hang", event["anomaly"] == "hang", event["anomaly"])
    check("in time", took_sec <= AGE_SEC + SLACK_SEC, f"{took_sec:.1f} s after agent_ready")
    check("of the server", event["server"] == product.SERVER, event["server"])
    bundle = Path(agent.wait("bundle_written", 60, anomaly="hang")["path"])
    in_flight = json.loads(product.bundle_file(bundle, "inflight.json"))
    age_ms = (product.unix_time(event) - begun) * 1e3
    print("in flight:", in_flight, flush=True)
    own = [each for each in in_flight if each["tgid"] in pids]
    check("every reader is there", {each["tgid"] for each in own} == pids, pids)
    names, servers = ({each[key] for each in own} for key in ("comm", "server"))
    check("by name", names == {"python3"}, names)
    check("with its server", servers == {product.SERVER}, servers)
    marked = all("before_attach" in each["flags"] for each in own)
    check("marked as from before the agent", marked)
    ages = [round(each["age_ms"]) for each in own]
    right = all(age_ms - 2000 <= age <= age_ms + 5000 for age in ages)
    check("with its age from the beginning", right, f"{ages}, {age_ms:.0f} ms after")
    losses = product.bundle_manifest(bundle)["losses"]
    check("nothing was lost", not any(losses.values()), losses)


def ended(agent: Agent, pids: set[int]) -> None:
    """The requests of these processes are recorded as any other once they are answered."""
    agent.wait("anomaly_ended", 30)
    bundle = agent.snapshot()
    rows = product.bundle_events(bundle)
    rows = rows[(rows["kind"] == 0) & np.isin(rows["tgid"], list(pids))]
    check("each is recorded once it is answered", set(rows["tgid"].tolist()) == pids, len(rows))
    identities = set(zip(rows["connection_id"].tolist(), rows["message_id"].tolist(), strict=True))
    check("and only once", len(identities) == len(rows), len(rows))
    flying = json.loads(product.bundle_file(bundle, "inflight.json"))
    check("nothing is left in flight", not flying, flying)


def main() -> None:
    """A hang, the agent, the answer."""
    lab("modprobe cifs")
    for number in range(READERS):
        (SHARE_DIR / f"file-{number}").write_bytes(b"x" * 8192)
    lab(f'lab_mount "nosharesock,nolease,cache=none,actimeo=0,echo_interval=60" {MOUNT}')
    lab(f'lab_mount "nosharesock,echo_interval=60" {MOUNT}-idle')
    config = product.quiet_config(collector={"max_bundles_per_hour": 1000})
    config["guardian"]["anomalies"]["hang"] = {"age_ms": AGE_SEC * 1e3, "cooldown_sec": 0}
    agent = Agent("started_in_hang", config)
    agent.start()  # compiles: an agent that ran before has its byte code in the cache
    agent.wait("agent_ready", 120)
    check("the first agent stops with status 0", agent.stop() == 0)

    lab("lab_server_stop")
    begun = time.time()
    readers = [
        subprocess.Popen(["/usr/bin/python3", "-c", _READ, str(MOUNT / f"file-{number}")])
        for number in range(READERS)
    ]
    pids = {reader.pid for reader in readers}
    try:
        time.sleep(BEFORE_SEC)
        agent.start()
        ready = agent.wait("agent_ready", 120, skip=1)
        print("ready:", ready, flush=True)
        judged(agent, ready, begun, pids)
    finally:
        lab("lab_server_cont")
    for reader in readers:
        check("a reader ends well", reader.wait(60) == 0)
    ended(agent, pids)
    check("the agent stops with status 0", agent.stop() == 0)


main()
