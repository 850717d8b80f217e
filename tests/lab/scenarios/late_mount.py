#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=An agent started before cifs is loaded attaches when the first mount loads it
# lab: no-mount
# lab: timeout=600
"""The agent waits for the cifs module, and sees the mount that loads it, in time and unharmed."""

import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, "/lab")
import product
from product import MOUNT, Agent, check, lab

from aodasync.smb.commands import COMMANDS

MODULE = Path("/sys/module/cifs")
WAIT_SEC = 10  # a task that cannot wait dies at once, and again 0.1, 0.2 ... s later


class Load(threading.Thread):
    """Notes when the module is live."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen_sec = 0.0
        self.start()

    def run(self) -> None:
        """Poll sysfs."""
        while not self.seen_sec:
            try:
                if (MODULE / "initstate").read_text() == "live\n":
                    self.seen_sec = time.time()
            except OSError:
                pass
            time.sleep(0.002)


def complaints(agent: Agent) -> list[product.Event]:
    """What an agent that only waits and attaches has no reason to log."""
    restarted = agent.events("task_restarted")
    return restarted + [event for event in agent.events() if event["level"] == "error"]


def unload() -> None:
    """Back to a host that never mounted anything."""
    lab(f"umount {MOUNT}")
    product.wait_for(
        "cifs is unloaded",
        lambda: subprocess.run(["modprobe", "-r", "cifs"], check=False).returncode == 0,
        30,
    )


def first_mount() -> None:
    """Start, wait, mount, look."""
    check("cifs is not loaded", not MODULE.exists())
    agent = Agent("agent", product.config({"SMB2_READ": 10_000.0}))
    agent.start()
    waiting = agent.wait("agent_waiting", 60)
    check("the agent says what it waits for", "cifs" in waiting["for"], waiting["for"])
    time.sleep(WAIT_SEC)
    check(f"it waits for {WAIT_SEC} s without a complaint", not complaints(agent))
    mounted = time.time()
    lab("lab_mount")
    ready = agent.wait("agent_ready", 120)
    print("ready:", ready, flush=True)
    print(f"ready {product.unix_time(ready) - mounted:.2f} s after the mount began", flush=True)
    for number in range(17):
        (MOUNT / f"late-{number}").write_bytes(b"x" * 4096)
    rows = product.bundle_events(agent.snapshot())
    commands = {COMMANDS[code] for code in rows["command"]}
    creates = int((rows["command"] == 5).sum())
    check("it sees that mount's requests", creates >= 17, f"{creates} creates, {sorted(commands)}")
    check("every row has its connection", (rows["connection_id"] != 0).all())
    manifest = product.bundle_manifest(next(iter(agent.output_dir.glob("batches/*.tar.zst"))))
    servers = {connection["server"] for connection in manifest["connections"]}
    check("and knows the server's name", servers == {product.SERVER}, servers)
    check("no task was restarted, no error logged", not complaints(agent), complaints(agent))
    check("SIGTERM ends it with status 0", agent.stop() == 0)


def cached_start_sec() -> float:
    """How long a start takes where the module is loaded and the byte code is cached."""
    agent = Agent("cached", product.config({"SMB2_READ": 10_000.0}))
    agent.start()
    start_sec = float(agent.wait("agent_ready", 120)["start_ms"]) / 1e3
    agent.stop()
    return start_sec


def notice(start_sec: float) -> None:
    """From the module's being live to being attached: at most two starts."""
    agent = Agent("again", product.config({"SMB2_READ": 10_000.0}))
    agent.start()
    agent.wait("agent_waiting", 60)
    load = Load()
    lab("lab_mount")
    ready = agent.wait("agent_ready", 120)
    took_sec = product.unix_time(ready) - load.seen_sec
    within = f"{took_sec:.2f} s, at most {2 * start_sec:.2f} s"
    check("it is attached within two cached starts", took_sec <= 2 * start_sec, within)
    check("once more without a complaint", not complaints(agent), complaints(agent))
    agent.stop()


def main() -> None:
    """The first mount; then how soon another one is noticed."""
    first_mount()
    start_sec = cached_start_sec()
    unload()
    notice(start_sec)


main()
