#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Each directive that the unit does not set, tried alone: what the agent would lack
# lab: systemd
# lab: timeout=2400
"""The reasons beside the directives that ``aodasync.service`` does not set, held against systemd.

Each is tried by itself, on the agent as the unit starts it. What the agent then lacks must be
what the unit's remark says; of those that are left out for the sake of some hosts, nothing.
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path

sys.path.insert(0, "/lab")
import product
from product import Workload, check

UNIT = Path("/etc/systemd/system/aodasync.service")
DROP_IN = Path(f"{UNIT}.d/tried.conf")
CACHE = Path("/var/cache/aodasync")
NEVER = "does not start"

# What the agent lacks then; "" where other hosts, or other settings, are the reason.
TRIED = {
    "ProtectKernelTunables=yes": "notes",
    "ProtectKernelLogs=yes": "failed",
    "ProcSubset=pid": "failed",
    "PrivateUsers=yes": NEVER,
    "PrivateNetwork=yes": "",
    "ProtectProc=invisible": "",  # all processes are root's here
    "MemoryDenyWriteExecute=yes": "",
    "ProtectSystem=strict": NEVER,
    "PrivateTmp=yes": "",
    "ProtectHome=yes": "",
    "IPAddressDeny=any": "",
}


@dataclass(frozen=True)
class Seen:
    """What an agent does that has all it needs."""

    ready: bool = False
    probe: str = ""
    notes: tuple[str, ...] = ()
    failed: frozenset[str] = frozenset({"all"})
    dmesg: bool = False
    tcp: bool = False
    shares: bool = False
    doctor: int = -1

    def lacks(self, whole: "Seen") -> list[str]:
        """What is not as in ``whole``."""
        if not self.ready:
            return [NEVER]
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(whole, f.name)]


def run(*argv: str, timeout_sec: float = 150) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail, or hang."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=timeout_sec
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", "it took too long")


def seen() -> Seen:
    """Start the unit, do some work on the mount, and look at all that it tells."""
    run("systemctl", "reset-failed", "aodasync")
    if run("systemctl", "restart", "aodasync").returncode:
        print(run("journalctl", "-u", "aodasync", "-n", "3", "-o", "cat").stdout, flush=True)
        run("systemctl", "stop", "aodasync")
        return Seen()
    log = run("journalctl", "-u", "aodasync", "-o", "cat", "--no-pager").stdout
    told = [json.loads(line) for line in log.splitlines() if '"agent_ready"' in line][-1]
    work = Workload(processes=2, rate=5.0, seconds=600)
    time.sleep(2)
    made = run("aodasync", "snapshot")
    work.stop()
    found = Seen(ready=True, probe=told["probe"], notes=tuple(told["notes"]))
    if made.returncode == 0:
        bundle = Path(made.stdout.strip())
        manifest = product.bundle_manifest(bundle)
        samples = json.loads(product.bundle_file(bundle, "samples.json"))
        found = Seen(
            ready=True,
            probe=told["probe"],
            notes=tuple(told["notes"]),
            failed=frozenset(a["name"] for a in manifest["actions"] if a["error"]),
            dmesg=bool(product.bundle_file(bundle, "dmesg.log").strip()),
            tcp=product.SERVER in json.dumps(samples),
            shares=bool(manifest["shares"]),
            doctor=run("aodasync", "doctor").returncode,
        )
    run("systemctl", "stop", "aodasync")
    return found


def tried(directive: str) -> Seen:
    """The agent under one more directive; the compiler must work, so nothing is cached."""
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text(f"[Service]\n{directive}\n")
    run("systemctl", "daemon-reload")
    if directive.startswith("MemoryDenyWriteExecute"):
        shutil.rmtree(CACHE, ignore_errors=True)
    try:
        return seen()
    finally:
        DROP_IN.unlink()


def main() -> None:
    """As the unit is, then under each directive."""
    place = run(
        "/opt/aodasync/bin/python",
        "-c",
        "import aodasync, pathlib; print(pathlib.Path(aodasync.__file__).parent / '_config')",
    ).stdout.strip()
    Path("/etc/aodasync").mkdir(exist_ok=True)
    shutil.copy(f"{place}/config.yaml", "/etc/aodasync/config.yaml")
    shutil.copy(f"{place}/aodasync.service", UNIT)
    run("systemctl", "daemon-reload")
    whole = seen()
    print("as the unit is:", whole, flush=True)
    check("the unit lacks nothing", whole.ready and whole.dmesg and whole.tcp and whole.shares)
    not_set = UNIT.read_text().partition("# Not set, on purpose")[2]
    for directive, expected in TRIED.items():
        name = directive.partition("=")[0]
        found = tried(directive)
        lacks = found.lacks(whole)
        right = expected in lacks if expected else not lacks
        print(f"{directive}: lacks {lacks}: {found}", flush=True)
        check(f"{directive}: {expected or 'lacks nothing here'}", right)
        check(f"{name}: the unit says why it is not set", name in not_set)


main()
