#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=A user of the host cannot read, disturb or deceive the agent
# lab: timeout=900
"""Each attempt is made as the user ``lab``, with the tools that such a user has."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

sys.path.insert(0, "/lab")
import product
from product import MOUNT, Agent, check, lab

USER = "lab"
RUN, STATE, CACHE = (Path(f"/{name}/aodasync") for name in ("run", "var/lib", "var/cache"))
PLACE, OPEN = Path("/tmp/of-user"), Path("/var/log/open-to-all")  # noqa: S108  # a user's
TRACEBACK = "Traceback (most recent call last)"
ANYONE_ELSE = 0o077
NOT_PERMITTED = 77

_TALK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect(sys.argv[1])
    channel.sendall(b"snapshot\\n")
    sys.exit(not channel.recv(100))
"""
_LOCK = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
_BPF = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
for identifier in range(1, 2000):  # BPF_MAP_GET_FD_BY_ID
    attributes = ctypes.create_string_buffer(struct.pack("3I", identifier, 0, 0))
    if libc.syscall(321, 14, attributes, 12) >= 0:
        sys.exit(0)
sys.exit(1)
"""
_DISGUISED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, b'"}\\n{"event":1}', 0, 0, 0)
for number in range(20):
    try:
        os.open(sys.argv[1] + '/\\n{"event": 1, "forged": "' + str(number), os.O_RDONLY)
    except OSError:
        pass
os.stat(sys.argv[1])
os.listdir(sys.argv[1])
"""


def as_user(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user, with nothing but that."""
    become = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": f"/home/{USER}"}
    return subprocess.run(
        [*become, "env", "-C", "/tmp", *argv],  # noqa: S108  # where a user can be
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )


def refused(what: str, *argv: str) -> None:
    """The attempt must fail, and say so without a traceback of ours."""
    done = as_user(*argv)
    check(f"{what}: refused", done.returncode != 0, (done.stderr or done.stdout).strip()[-150:])


def python(code: str, *arguments: object) -> tuple[str, ...]:
    """A command of Python code."""
    return ("/usr/bin/python3", "-c", code, *map(str, arguments))


def reads(agent: Agent, bundle: Path) -> None:
    """Bundles, the byte code, the state, and the process itself."""
    assert agent.process is not None
    pid = agent.process.pid
    refused("listing the bundles", "ls", str(agent.output_dir))
    refused("reading a bundle", "cat", str(bundle))
    for directory in RUN, STATE, CACHE:
        refused(f"listing {directory}", "ls", str(directory))
    refused("the agent's environment", "cat", f"/proc/{pid}/environ")
    refused("the agent's descriptors", "ls", f"/proc/{pid}/fd")
    refused("the agent's memory", "dd", f"if=/proc/{pid}/mem", "bs=1", "count=1")
    refused("tracing it", "timeout", "5", "strace", "-p", str(pid))


def disturbs(agent: Agent) -> None:
    """Signals, the socket, the lock, the kernel's maps, commands."""
    assert agent.process is not None
    pid = agent.process.pid
    for name in "USR1", "TERM", "STOP", "HUP", "KILL":
        refused(f"SIG{name}", "kill", "-s", name, str(pid))
    refused("the control socket", *python(_TALK, RUN / "control.sock"))
    for path in RUN.iterdir():
        if path.is_socket():
            refused(f"the socket {path.name}", *python(_TALK, path))
    refused("holding the lock", *python(_LOCK, RUN / "lock"))
    refused("the agent's BPF maps", *python(_BPF))
    refused("bpftool", "bpftool", "map", "dump", "name", "aod_in_flight")
    for command in ("status",), ("snapshot",), ("top", "--once"), ("history",):
        done = as_user("aodasync", *command)
        said = done.stderr.strip().splitlines()
        check(f"aodasync {command[0]}: refused", done.returncode != 0, said[-1:])
        check(f"aodasync {command[0]}: without a traceback", TRACEBACK not in done.stderr)
    done = as_user("aodasync", "run")
    check("aodasync run: not permitted", done.returncode == NOT_PERMITTED, done.stderr[-150:])
    check(
        "aodasync run: in one line", TRACEBACK not in done.stderr and done.stderr.count("\n") <= 2
    )


def plants(agent: Agent) -> None:
    """Links and files where the agent reads or writes."""
    for directory in agent.output_dir, agent.output_dir / "batches", RUN, STATE, CACHE:
        refused(f"a link in {directory}", "ln", "-s", "/etc/passwd", f"{directory}/planted")
        refused(f"a file in {directory}", "touch", f"{directory}/planted")
    refused("a configuration", "touch", "/etc/aodasync/conf.d/planted.yaml")
    refused("the configuration's folder", "mkdir", "-p", "/etc/aodasync/conf.d/planted")


def outputs() -> Iterator[tuple[str, Path]]:
    """Places for bundles that a user prepared."""
    lab(f"install -d -o {USER} -g {USER} -m 0755 {PLACE}; install -d -m 0777 {OPEN}")
    yield "a directory of the user's", PLACE
    yield "a directory that all may write", OPEN
    for link in PLACE.with_name("linked"), PLACE / "inner":
        as_user("ln", "-s", "/etc", str(link))
    yield "a link to /etc", PLACE.with_name("linked")
    yield "a folder behind a link", PLACE / "inner" / "aod"


def misleads() -> None:
    """An agent whose output directory somebody else prepared does not write there."""
    for what, directory in outputs():
        before = sorted(str(path) for path in Path("/etc").rglob("*aod*"))
        config = Path("/run/lab/misled.yaml")
        config.write_text(yaml.safe_dump({"aod_output_dir": str(directory)}))
        done = subprocess.run(
            ["timeout", "20", "aodasync", "doctor", "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )
        check(f"{what}: doctor names it", str(directory) in done.stdout + done.stderr)
        done = subprocess.run(
            [
                "timeout",
                "30",
                "unshare",
                "-m",
                "sh",
                "-c",
                f"mount -t tmpfs tmpfs /run/aodasync && exec aodasync run --config {config}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        ended = done.returncode not in (0, 124)
        check(f"{what}: the agent refuses it", ended, f"{done.returncode}: {done.stderr[-200:]}")
        after = sorted(str(path) for path in Path("/etc").rglob("*aod*"))
        check(f"{what}: nothing is written behind it", before == after, after)


def deceives(agent: Agent) -> None:
    """Names that look like log lines: of the process, of files on the share."""
    lab("lab_server_stop")
    try:
        child = subprocess.Popen(
            [
                "setpriv",
                "--reuid",
                USER,
                "--regid",
                USER,
                "--clear-groups",
                *python(_DISGUISED, MOUNT),
            ],
            stderr=subprocess.DEVNULL,
        )
        agent.wait("anomaly_detected", 40, anomaly="hang")
        bundle = Path(agent.wait("bundle_written", 60, anomaly="hang")["path"])
    finally:
        lab("lab_server_cont")
    child.wait(60)
    agent.wait("anomaly_ended", 60)
    text = Path(product.OUT, "unprivileged.log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    forged = [line for line in lines if line.get("event") == 1 or "forged" in line]
    check("no log line is forged", not forged, forged)
    odd = [line for line in text.splitlines() if not line.startswith("{")]
    check("every line of the log is the agent's", not odd, odd[:3])
    flying = json.loads(product.bundle_file(bundle, "inflight.json"))
    check("the process is in the bundle, whatever its name", flying)


def private(directory: Path) -> list[str]:
    """Files and folders below that others than root could read or write."""
    found = []
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        if status.st_uid or (status.st_mode & ANYONE_ELSE and not stat.S_ISLNK(status.st_mode)):
            found.append(f"{path} {stat.filemode(status.st_mode)} {status.st_uid}")
    return found


def main() -> None:
    """An agent at work, and a user who is up to something."""
    lab("mkdir -p /etc/aodasync/conf.d")
    config = product.quiet_config(collector={"max_bundles_per_hour": 1000})
    config["guardian"]["anomalies"]["hang"] = {"age_ms": 2000, "cooldown_sec": 0}
    agent = Agent("unprivileged", config)
    agent.start()
    agent.wait("agent_ready", 120)
    bundle = agent.snapshot()
    passwd = Path("/etc/passwd").read_bytes()
    reads(agent, bundle)
    disturbs(agent)
    plants(agent)
    misleads()
    deceives(agent)
    assert agent.process is not None
    check("the agent is still the same", agent.process.poll() is None)
    check("and takes snapshots", agent.snapshot().exists())
    for directory in agent.output_dir, RUN, STATE, CACHE:
        others = private(directory)
        check(f"{directory} is root's alone", not others, others)
    check("/etc/passwd is as it was", Path("/etc/passwd").read_bytes() == passwd)
    verify = ["aodasync", "bundles", "verify", "--output-dir", str(agent.output_dir)]
    check("every bundle is whole", subprocess.run(verify, check=False).returncode == 0)
    check("the agent stops with status 0", agent.stop() == 0)


main()
