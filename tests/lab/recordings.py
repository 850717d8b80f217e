#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
"""Record what the package replays: a server whose disk is slow, and a network that loses packets.

``python3 -m tests.lab --script tests/lab/recordings.py --out DIR`` leaves a directory for each
in DIR, to be put into ``aodasync/recordings``: a snapshot's requests and samples, and those
parts of its manifest that a replay reads.
"""

import json
import sys
import time
from pathlib import Path

import yaml

sys.path.insert(0, "/lab")
import injections
import product

import aodasync

_CONFIG = Path(aodasync.__file__).parent / "recordings/slow_server/config.yaml"
_READ = ("agent", "kernel", "host", "cifs", "probe", "losses", "connections", "shares")
_READ_ALSO = ("schema_version", "bundle", "events", "live", "clock")
_CLEAN_SEC = 30
_AFTER_SEC = 4
_THRESHOLDS_MS = {"": 300.0}
_FAULTS = {"slow_disk": injections.slow_disk, "lossy_network": injections.loss}


def record(name: str) -> None:
    """Clean traffic, a fault, clean traffic again."""
    agent = product.Agent(name, yaml.safe_load(_CONFIG.read_text()))
    agent.start()
    agent.wait("agent_ready", 120)
    time.sleep(_CLEAN_SEC)
    _FAULTS[name](_THRESHOLDS_MS)
    time.sleep(_AFTER_SEC)
    snapshot = agent.snapshot()
    for told in agent.events("bundle_written"):
        print(name, told, flush=True)
    product.check(f"the agent that recorded {name} ends with status 0", agent.stop() == 0)
    keep(name, snapshot)


def keep(name: str, snapshot: Path) -> None:
    """Leave what a replay reads."""
    directory = product.OUT / name
    directory.mkdir()
    manifest = product.bundle_manifest(snapshot)
    kept = {key: manifest[key] for key in (*_READ_ALSO, *_READ) if key in manifest}
    (directory / "manifest.json").write_text(json.dumps(kept, indent=1) + "\n")
    for file in ("events.npy", "samples.json"):
        (directory / file).write_bytes(product.bundle_file(snapshot, file))
        print(name, file, (directory / file).stat().st_size, flush=True)


def main() -> None:
    """One recording after the other."""
    workload = product.Workload(processes=8)
    time.sleep(3)
    for name in _FAULTS:
        record(name)
    workload.stop()


main()
