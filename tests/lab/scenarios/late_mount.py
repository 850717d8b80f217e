#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=An agent started before cifs is loaded attaches when the first mount loads it
# lab: no-mount
# lab: timeout=600
"""The agent waits for the cifs module, and sees the mount that loads it."""

import sys
import time
from pathlib import Path

sys.path.insert(0, "/lab")
import product
from product import MOUNT, Agent, check, lab

from aodasync.smb.commands import COMMANDS


def main() -> None:
    """Start, wait, mount, look."""
    check("cifs is not loaded", not Path("/sys/module/cifs").exists())
    agent = Agent("agent", product.config({"SMB2_READ": 10_000.0}))
    agent.start()
    waiting = agent.wait("agent_waiting", 60)
    check("the agent says what it waits for", "cifs" in waiting["for"], waiting["for"])
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
    check("SIGTERM ends it with status 0", agent.stop() == 0)


main()
