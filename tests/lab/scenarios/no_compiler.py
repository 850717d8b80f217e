#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Imported byte code runs without bcc, and every request on the wire is recorded
# lab: no-mount
# lab: timeout=900
"""A probe is exported where bcc is, and imported where it is not; then the record is the wire's."""

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, "/lab")
import product
import truth
import wire
from product import MOUNT, OUT, Agent, check, lab

CACHE, IMPORTED = Path("/var/cache/aodasync"), Path("/var/lib/aodasync/probes")
CAPTURE, EXPORT = Path("/run/lab/wire.pcap"), OUT / "probe.json"
FEWEST_REQUESTS = 500


def command(*arguments: str) -> tuple[int, str]:
    """Exit status and output of ``aodasync``."""
    done = subprocess.run(["aodasync", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def hide_bcc() -> None:
    """As on a host that never had it: an empty directory lies over the package."""
    where = "import bcc, os; print(os.path.dirname(bcc.__file__))"
    argv = ["/usr/bin/python3", "-c", where]
    package = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    lab(f"mkdir /run/lab/empty; mount --bind /run/lab/empty {package}")
    lab("rm -rf /var/cache/aodasync")


def without_files() -> None:
    """A host may have switched them off: other byte code, by the same method."""
    changes = {"recorder": {"file_names": False}}
    agent = Agent("without-files", product.quiet_config(**changes))
    agent.start()
    ready = agent.wait("agent_ready", 120)
    same = ready["byte_code"] == "imported" and ready["probe"].startswith("fentry")
    check("it runs without files as well, by the same method", same, ready["probe"])
    check("the agent stops with status 0", agent.stop() == 0)


def main() -> None:
    """Export, hide bcc, fail, import, run."""
    lab("modprobe cifs")
    status, said = command("probe", "export", str(EXPORT))
    check("a host with bcc exports its byte code", status == 0, said)
    exported = json.loads(EXPORT.read_text())
    ways = [(probe["method"], probe["file_names"]) for probe in exported["probes"]]
    every = [("fentry", True), ("fentry", False), ("kprobe", True), ("kprobe", False)]
    check("by every method, with files and without", ways[:4] == every, ways)
    check("the tracepoints tell no files", ways[4:] == [("tracepoint", True)], ways)
    check("for root alone", EXPORT.stat().st_mode & 0o777 == 0o600)
    print(f"{EXPORT.stat().st_size} bytes, compiled by", exported["probes"][0]["compiler"])

    hide_bcc()
    status, said = command("doctor")
    check("without bcc doctor says what to do", status and "aodasync probe import" in said)
    status, said = command("probe", "import", str(EXPORT))
    check("it is imported", status == 0, said)
    modes = {path.stat().st_mode & 0o777 for path in IMPORTED.iterdir()}
    check("for root alone", modes == {0o600}, modes)
    status, said = command("doctor")
    check("doctor finds nothing that stops the agent", status == 0)
    check("and says whose byte code it is", "byte code: imported" in said, said)

    capture = wire.Capture(CAPTURE)
    agent = Agent("imported", product.quiet_config())
    agent.start()
    ready = agent.wait("agent_ready", 120)
    print("ready:", {key: ready[key] for key in ("probe", "byte_code", "start_ms")}, flush=True)
    check("so does agent_ready", ready["byte_code"] == "imported")
    lab("lab_mount")
    argv = ["/usr/bin/python3", "/lab/workload.py", str(MOUNT), "--rate", "30", "--seconds", "20"]
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    lab("lab_umount")
    product.wait_for("closed", lambda: not lab("ss -Htn state established dport = :445"), 30)
    time.sleep(1)
    bundle = agent.snapshot()
    check("the agent stops with status 0", agent.stop() == 0)
    check("the capture is complete", capture.stop() == 0)
    rows, manifest = product.bundle_events(bundle), product.bundle_manifest(bundle)
    seen = wire.read(CAPTURE)
    check("every response's request is in the capture", not seen.strays, seen.strays[:3])
    result = truth.match(rows, seen)
    truth.print_table(result, seen)
    truth.report(result, seen)
    count = len(seen.requests)
    check(f"the workload had {FEWEST_REQUESTS} requests", count >= FEWEST_REQUESTS, count)
    check("nothing was lost", not any(manifest["losses"].values()), manifest["losses"])
    check("the manifest has it", manifest["probe"]["byte_code"] == "imported")
    check("nothing was compiled", not list(CACHE.glob("*.json")))
    without_files()


main()
