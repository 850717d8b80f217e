#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=Captures that always run are in bundles; a stop amid a hang leaves a snapshot
# lab: kernels=6.12
# lab: systemd
# lab: timeout=600
"""tcpdump and trace-cmd under the unit's limits, and what a stop leaves while the server hangs."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

sys.path.insert(0, "/lab")
import product
from product import MOUNT, OUT, SERVER, check, lab, wait_for

import aodasync

BATCHES = Path("/var/log/aod/batches")
RING = Path("/var/cache/aodasync/captures")
INSTANCE = Path("/sys/kernel/tracing/instances/aodasync")
AGE_SEC = 2
PACKET_BYTES = 160
STOP_SEC = 30  # the unit's TimeoutStopSec


def run(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def messages() -> str:
    """The agent's lines in the journal."""
    return run("journalctl", "-u", "aodasync", "-o", "cat", "--no-pager")


def install() -> None:
    """The unit as shipped, with both captures and a quick eye for hangs."""
    packaged = Path(aodasync.__file__).parent / "_config"
    shutil.copy(packaged / "aodasync.service", "/etc/systemd/system/aodasync.service")
    config = yaml.safe_load((packaged / "config.yaml").read_text())
    config["watcher"]["captures"] = ["tcpdump", "trace-cmd"]
    config["guardian"]["anomalies"] = {"hang": {"age_ms": AGE_SEC * 1000}}
    # smbinfo shall still hang when the agent is stopped.
    config["collector"] = {"action_timeout_sec": 60}
    Path("/etc/aodasync").mkdir(exist_ok=True)
    Path("/etc/aodasync/config.yaml").write_text(yaml.safe_dump(config))
    run("systemctl", "daemon-reload")


def traffic(count: int = 5) -> None:
    """Some requests of every day."""
    for number in range(count):
        path = MOUNT / f"file-{number}"
        path.write_bytes(b"content of a file" * 100)
        path.read_bytes()
        path.unlink()


def tcpdumps() -> list[str]:
    """Process numbers of tcpdump."""
    return run("pgrep", "-x", "tcpdump").split()


def frames(bundle: Path) -> list[list[str]]:
    """Time, ports, length on the wire, length captured and SMB command of each packet."""
    file = OUT / f"{bundle.name.split('.')[0]}.pcap"
    file.write_bytes(product.bundle_file(bundle, "tcpdump.pcap"))
    fields = ("frame.time_epoch", "tcp.port", "frame.len", "frame.cap_len", "smb2.cmd")
    argv = ["tshark", "-r", str(file), "-n", "-T", "fields"]
    argv += [word for field in fields for word in ("-e", field)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    check("tshark reads the packets to the end", done.returncode == 0, done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]


def check_packets(bundle: Path, stopped: float) -> None:
    """Port 445 alone, from before the server stopped and from after it, headers alone."""
    found = frames(bundle)
    times = [float(frame[0]) for frame in found]
    before = sum(at < stopped for at in times)
    check("there are packets from before the hang", before >= 20, before)
    check("and from the hang itself", len(times) - before >= 1, len(times) - before)
    check("all are of port 445", all("445" in frame[1].split(",") for frame in found), len(found))
    longest = max(int(frame[3]) for frame in found)
    check("no more than the headers is in the file", longest <= PACKET_BYTES, longest)
    cut = sum(int(frame[2]) > int(frame[3]) for frame in found)
    check("longer ones were cut", cut > 0, cut)
    named = sum(bool(frame[4]) for frame in found)
    check("SMB commands can be read in them", named >= 20, named)


def entry(bundle: Path, name: str) -> dict[str, object]:
    """An action's entry in the manifest."""
    actions = product.bundle_manifest(bundle)["actions"]
    found: dict[str, object] = next(action for action in actions if action["name"] == name)
    return found


def check_captures(bundle: Path, stopped: float) -> None:
    """Both captures are in a bundle, whole."""
    for name in ("tcpdump", "trace-cmd"):
        action = entry(bundle, name)
        check(f"{name} is in the manifest", not action["error"] and action["bytes"], action)
    check_packets(bundle, stopped)
    events = product.bundle_file(bundle, "trace-cmd.log")
    check("trace-cmd.log holds the client's events", events.count(b"smb3_") > 20, len(events))


def stop_amid_a_hang() -> None:
    """A stop while the server hangs: in time, with the hang's bundle and a snapshot."""
    traffic(20)
    time.sleep(2)
    lab("lab_server_stop")
    stopped = time.time()
    waiter = subprocess.Popen(["touch", str(MOUNT / "waits")])
    wait_for("the hang", lambda: '"anomaly": "hang"' in messages(), 60)
    time.sleep(4)
    begun = time.monotonic()
    run("systemctl", "stop", "aodasync")
    took = time.monotonic() - begun
    lab("lab_server_cont")
    waiter.wait(60)
    result = run("systemctl", "show", "-P", "Result", "aodasync").strip()
    check("the stop took less than systemd allows", took < STOP_SEC, f"{took:.1f} s")
    check("and was a success", result == "success", result)
    bundles = {path.name.split("_")[-1].split(".")[0]: path for path in BATCHES.glob("*.tar.zst")}
    check("it left the hang's bundle and a snapshot", {"hang", "snapshot"} <= set(bundles))
    check("and nothing half written", not list(BATCHES.glob("*.partial")))
    for name in ("hang", "snapshot"):
        check(f"{name}: verify finds nothing wrong", verified(bundles[name]))
        check_captures(bundles[name], stopped)
        action = entry(bundles[name], "smbinfo")
        check(f"{name}: what hung was cut short", "cut short" in str(action["error"]), action)
    waiting = product.bundle_manifest(bundles["snapshot"])["in_flight"]["count"]
    check("the snapshot says what was in flight at the end", waiting > 0, waiting)
    for path in bundles.values():
        shutil.copy(path, OUT)


def verified(bundle: Path) -> bool:
    """By the product's own command."""
    argv: Sequence[str] = ["aodasync", "bundles", "verify", str(bundle)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def nothing_is_left() -> None:
    """After a stop no capture runs, and what they kept is gone."""
    check("no tcpdump is left", not tcpdumps())
    check("no packets are left", not list(RING.iterdir()))
    check("the trace instance is gone", not INSTANCE.exists())


def captures_live_and_die() -> None:
    """A capture that is killed comes back; an agent that is killed takes it along."""
    run("systemctl", "start", "aodasync")
    (first,) = wait_for("tcpdump", tcpdumps, 30)
    run("kill", "-KILL", first)
    (second,) = wait_for("tcpdump again", lambda: [p for p in tcpdumps() if p != first], 30)
    check("a tcpdump that was killed is started again", second != first)
    check("and its end is told", '"event": "capture_ended"' in messages())
    time.sleep(1)
    traffic()
    bundle = Path(run("aodasync", "snapshot").strip())
    check("its packets are in the next bundle", len(frames(bundle)) > 20)
    mode = RING.stat().st_mode & 0o777
    check("the ring is root's alone", mode == 0o700, oct(mode))
    run("kill", "-KILL", run("systemctl", "show", "-P", "MainPID", "aodasync").strip())
    wait_for("the end of tcpdump", lambda: second not in tcpdumps(), 4)
    check("tcpdump dies with an agent that is killed", ok=True)
    wait_for("the restart", lambda: messages().count('"event": "agent_ready"') >= 3, 60)
    wait_for("tcpdump after the restart", tcpdumps, 30)
    run("systemctl", "stop", "aodasync")


def main() -> None:
    """A hang with both captures, a stop amid it, and the captures' own lives."""
    print("server", SERVER, flush=True)
    install()
    run("systemctl", "start", "aodasync")
    check("the unit is active", run("systemctl", "is-active", "aodasync").strip() == "active")
    wait_for("tcpdump", tcpdumps, 30)
    wait_for("the trace instance", INSTANCE.exists, 30)
    time.sleep(2)
    try:
        stop_amid_a_hang()
        nothing_is_left()
        captures_live_and_die()
        nothing_is_left()
    finally:
        lab("lab_server_cont")
        (OUT / "journal.log").write_text(messages())


main()
