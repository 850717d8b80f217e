#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=A second server implementation: the record is the wire's, three faults are found
# lab: no-mount
# lab: timeout=1800
"""ksmbd, the kernel's own server, in place of Samba.

It listens in the initial network namespace alone, so the client mounts from the
other one: its sockets are not in the agent's namespace.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, "/lab")
import product
import truth
import wire
from field_cases import Case
from field_run import configuration, tried
from field_table import print_table
from product import Agent, check, lab

TOOLS = Path("/opt/ksmbd/usr/sbin")
CONF, ACCOUNTS = Path("/run/lab/ksmbd.conf"), Path("/run/lab/ksmbdpwd.db")
EXPORT = Path("/srv/ksmbd")
SERVER = "10.9.9.2"  # the other end of the cable
CACHED, DIRECT = Path("/mnt/cached"), Path("/mnt/direct")
CAPTURE = Path("/run/lab/wire.pcap")
FEWEST_REQUESTS = 2000


def start_server() -> None:
    """The module, its account, its share; mountd answers it from user space."""
    EXPORT.mkdir(exist_ok=True)
    if not EXPORT.is_mount():
        lab(f"mount -t tmpfs -o size=512m,mode=777 tmpfs {EXPORT}")
        lab(f"mkdir {EXPORT}/small; mount -t tmpfs -o size=1m,mode=777 tmpfs {EXPORT}/small")
    CONF.write_text(
        f"[global]\ntcp port = 445\n[share]\npath = {EXPORT}\nread only = no\n"
        "oplocks = yes\ncreate mask = 0777\ndirectory mask = 0777\n"
    )
    files = f"-C {CONF} -P {ACCOUNTS}"
    lab("modprobe ksmbd")
    if not ACCOUNTS.exists():
        lab(f"{TOOLS}/ksmbd.adduser -a -p lab {files} lab")
    lab(f"{TOOLS}/ksmbd.mountd {files}")
    lab("lab_wait_for 30 sh -c 'ss -Hltn sport = :445 | grep -q .'")


def stop_server() -> None:
    """Connections are closed."""
    lab(f"{TOOLS}/ksmbd.control -s")
    lab("lab_wait_for 30 sh -c '! pgrep ksmbd.mountd'; rmmod ksmbd || true")


@contextmanager
def mounted(point: Path, options: str) -> Iterator[Path]:
    """A mount that is made in the other network namespace."""
    point.mkdir(exist_ok=True)
    login = "username=$LAB_USER,password=$LAB_PASSWORD,vers=3.1.1"
    lab(
        f"nsenter --net=/run/netns/$LAB_SERVER_NS mount -t cifs //{SERVER}/share {point}"
        f" -o {login},{options}"
    )
    try:
        yield point
    finally:
        lab(f"timeout 60 umount {point} || umount -l {point}")


def compare() -> None:
    """One pass over nearly everything that the client can ask, against a capture."""
    capture = wire.Capture(CAPTURE)
    agent = Agent("ksmbd-wire", product.quiet_config())
    agent.start()
    agent.wait("agent_ready", 120)
    with (
        mounted(CACHED, "echo_interval=60"),
        mounted(DIRECT, "nosharesock,nolease,cache=none,echo_interval=2"),
    ):
        argv = ["/usr/bin/python3", "/lab/smb_workload.py", str(CACHED), str(DIRECT), str(EXPORT)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
        print("workload:", done.returncode, done.stdout, flush=True)
    closed = "nsenter --net=/run/netns/$LAB_SERVER_NS ss -Htn state established dport = :445"
    product.wait_for("closed", lambda: not lab(closed), 30)
    time.sleep(1)
    bundle = agent.snapshot()
    check("the agent stops with status 0", agent.stop() == 0)
    check("the capture is complete", capture.stop() == 0)
    shutil.copy(CAPTURE, product.OUT)
    check("the workload ran", done.returncode == 0)
    rows, seen = product.bundle_events(bundle), wire.read(CAPTURE)
    check("every response's request is in the capture", not seen.strays, seen.strays[:3])
    result = truth.match(rows, seen)
    truth.print_table(result, seen)
    truth.report(result, seen)
    check(
        f"the workload had {FEWEST_REQUESTS} requests",
        len(seen.requests) >= FEWEST_REQUESTS,
        len(seen.requests),
    )
    losses = product.bundle_manifest(bundle)["losses"]
    check("nothing was lost", not any(losses.values()), losses)
    left = json.loads(product.bundle_file(bundle, "inflight.json"))
    check("nothing is left in flight", not left, left)


_STAT_LOOP = """
import os, sys, time
while True:
    try:
        os.stat(sys.argv[1])
    except OSError:
        pass
    time.sleep(0.1)
"""


@contextmanager
def used() -> Iterator[None]:
    """A mount that a process uses."""
    with mounted(DIRECT, "nosharesock,actimeo=0,echo_interval=60") as point:
        child = subprocess.Popen(["/usr/bin/python3", "-c", _STAT_LOOP, str(point)])
        try:
            time.sleep(5)
            yield
        finally:
            child.kill()
            child.wait(120)


def delayed(_agent: Agent) -> None:
    """What the server sends takes longer than the threshold."""
    with used():
        lab('tc qdisc replace dev "$LAB_CLIENT_IF" root netem delay 1500ms')
        time.sleep(12)
        lab('tc qdisc del dev "$LAB_CLIENT_IF" root')
        time.sleep(3)


def dropped(_agent: Agent) -> None:
    """Nothing arrives."""
    with used():
        lab('tc qdisc replace dev "$LAB_CLIENT_IF" root netem loss 100%')
        time.sleep(10)
        lab('tc qdisc del dev "$LAB_CLIENT_IF" root')
        time.sleep(5)


def restarted(_agent: Agent) -> None:
    """The server goes and comes back."""
    with used():
        stop_server()
        start_server()
        time.sleep(15)


_HERE, _NETWORK = frozenset({SERVER}), frozenset({"network"})
CASES = (
    Case("ksmbd: delay", delayed, ("latency",), _NETWORK, servers=_HERE, within_sec=15),
    Case(
        "ksmbd: 100 % loss",
        dropped,
        ("hang",),
        _NETWORK,
        also=frozenset({"latency"}),
        servers=_HERE,
        within_sec=14,
    ),
    Case(
        "ksmbd: restarted",
        restarted,
        ("connection",),
        frozenset({"server"}),
        servers=_HERE,
        within_sec=15,
    ),
)


def main() -> None:
    """The wire, then the faults."""
    lab("modprobe cifs")
    start_server()
    compare()
    agent = Agent("ksmbd", configuration())
    agent.start()
    agent.wait("agent_ready", 120)
    lines = [tried(agent, case) for case in CASES]
    check("the agent stops with status 0", agent.stop() == 0)
    print_table(lines)
    for line in lines:
        check(f"{line.case}: reported as what it is", not line.wrong, "; ".join(line.wrong))


main()
