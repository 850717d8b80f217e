#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=top, slow, inflight, why and history show what the record has
# lab: kernels=6.12
# lab: timeout=900
"""What a user sees while a server is slow, hangs, or its network loses packets.

The figures are compared with the requests in a bundle that was taken right afterwards.
"""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, "/lab")
import injections
import product
from product import MOUNT, OUT, SERVER, SHARE_DIR, Agent, Workload, check, lab

from aodasync.live.frames import Decoder, Subscription

SLOW_MS = 300
HANG_MS = 2000
READERS = 20
READ_SEC = 15.0
GROUP = "users"


def configuration() -> dict[str, Any]:
    """A hang after two seconds; slow requests by count."""
    quiet = {"cooldown_sec": 0, "actions": ["sockets", "mounts"]}
    return {
        "watch_interval_sec": 1,
        "guardian": {
            "anomalies": {
                "latency": {
                    "type": "Latency",
                    "mode": "all",
                    "acceptable_count": 3,
                    "default_threshold_ms": SLOW_MS * 2 / 3,
                    "emergency_threshold_ms": 60_000,
                    **quiet,
                },
                "hang": {"age_ms": HANG_MS, **quiet},
                "drift": {"enabled": False},
            }
        },
        "collector": {"max_bundles_per_hour": 1000},
        "control": {"group": GROUP},
    }


def aodasync(*arguments: str, timeout_sec: float = 120) -> str:
    """A command's standard output."""
    done = subprocess.run(
        ["aodasync", *arguments], capture_output=True, text=True, timeout=timeout_sec, check=False
    )
    if done.returncode:
        raise RuntimeError(f"aodasync {arguments}: {done.returncode}: {done.stderr}")
    return done.stdout


def victim(name: str, seconds: int) -> subprocess.Popen[bytes]:
    """A process that reads one file again and again, past the page cache."""
    code = (
        "import os, sys, time\n"
        "path, end = sys.argv[1], time.monotonic() + float(sys.argv[2])\n"
        "while time.monotonic() < end:\n"
        "    with open(path, 'rb') as file:\n"
        "        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)\n"
        "        file.read(4096)\n"
        "    open('/run/lab/victim.reads', 'w').close()\n"
        "    time.sleep(0.02)\n"
    )
    link = Path("/run/lab/victim")
    if not link.exists():
        link.symlink_to("/usr/bin/python3")
    ready = Path("/run/lab/victim.reads")
    ready.unlink(missing_ok=True)
    process = subprocess.Popen([str(link), "-c", code, str(MOUNT / name), str(seconds)])
    product.wait_for("the first read", ready.exists, 60)
    return process


def slow_server(agent: Agent) -> None:
    """One process reads a file that the server takes its time over."""
    name = f"slow_pread_{SLOW_MS}"
    (SHARE_DIR / name).write_bytes(b"x" * 8192)
    (SHARE_DIR / name).chmod(0o666)
    process = victim(name, 40)
    slow = subprocess.Popen(
        ["aodasync", "slow", str(SLOW_MS), "--json", "--seconds", "8"],
        stdout=subprocess.PIPE,
        text=True,
    )
    top = json.loads(aodasync("top", "--json", "--once", "-d", "6"))
    out, _ = slow.communicate(timeout=60)
    process.wait(60)
    shown = [json.loads(line) for line in out.splitlines()]
    rows = product.bundle_events(agent.snapshot())
    took_ms = product.latency_ms(rows)
    check("top: the server is on top", top["server"][0]["server"] == SERVER, top["server"][:2])
    worst = max(top["process"], key=lambda line: line["sum_ms"])
    check("top: the process that waits is on top", worst["process"] == "victim", worst)
    reads: dict[str, Any] = next((x for x in top["command"] if x["command"] == "READ"), {})
    since_ns = top["now_ns"] - round(top["window_sec"] * 1e9)
    ended = (rows["released_ns"] >= since_ns) & (rows["released_ns"] <= top["now_ns"])
    of_reads = ended & (rows["command"] == 8) & (rows["kind"] == 0)
    expected = float(np.percentile(took_ms[of_reads], 50)) if of_reads.any() else 0.0
    check(
        "top: READ's median is the record's",
        abs(reads.get("p50_ms", -1) - expected) <= 0.15 * expected,
        f"{reads.get('p50_ms')} ms, record {expected:.1f} ms",
    )
    check(
        "top: so is the number of requests",
        abs(reads.get("requests", -9) - int(of_reads.sum())) <= 2,
        f"{reads.get('requests')}, record {int(of_reads.sum())}",
    )
    slow_rows = rows[(took_ms >= SLOW_MS) & (rows["kind"] == 0)]
    of_record = {(int(r["issued_ns"]), int(r["message_id"])) for r in slow_rows}
    of_stream = {(row["issued_ns"], row["message_id"]) for row in shown}
    first, last = min(of_stream, default=(0, 0))[0], max(of_stream, default=(0, 0))[0]
    between = {each for each in of_record if first <= each[0] <= last}
    check(
        "slow: exactly the requests over the threshold that the record has",
        bool(of_stream) and of_stream == between,
        f"{len(of_stream)} shown, {len(between)} recorded, differ in {len(of_stream ^ between)}",
    )
    check("slow: each took the threshold", all(row["latency_ms"] >= SLOW_MS for row in shown))
    check("slow: each names its share", all(row["share"] == "share" for row in shown), shown[:1])


def hang(agent: Agent) -> None:
    """The server stands still; what waits is shown with its age and process."""
    name = "hangs"
    (SHARE_DIR / name).write_bytes(b"x" * 8192)
    (SHARE_DIR / name).chmod(0o666)
    process = victim(name, 40)
    before_ns = time.monotonic_ns()
    lab("lab_server_stop")
    stopped_ns = time.monotonic_ns()  # stopping takes a second and more where all is emulated
    try:
        agent.wait("anomaly_detected", 30, anomaly="hang")
        shown = json.loads(aodasync("inflight", "--json"))
        waiting = shown["requests"]
        oldest = waiting[0] if waiting else {}
        least, most = ((shown["now_ns"] - at_ns) / 1e9 for at_ns in (stopped_ns, before_ns))
        check(
            "inflight: the oldest is as old as the hang, within a second",
            least - 1 <= oldest.get("latency_ms", 0) / 1e3 <= most + 1,
            f"{oldest.get('latency_ms')} ms, stopped {least:.1f} to {most:.1f} s before",
        )
        check("inflight: it names the process", any(r["comm"] == "victim" for r in waiting))
        before = granted()
        (line,) = json.loads(aodasync("top", "--json", "--once", "-d", "1"))["server"]
        seen = {before, granted()}
        check("top: the credits are the client's", line["credits"] in seen, (line["credits"], seen))
        episode = f"hang on {SERVER}"
        screen = drawn(80, 24, episode, "victim")
        check("top: the open episode is on the screen", episode in screen, screen[-300:])
        check("top: the process that hangs is on the screen", "victim" in screen)
        why = json.loads(aodasync("why", "--json"))
        check("why: the open episode is the hang", why["anomaly"] == "hang" and why["open"], why)
        agent.wait("bundle_written", 60, anomaly="hang")
    finally:
        lab("lab_server_cont")
    process.wait(60)
    agent.wait("anomaly_ended", 60, anomaly="hang")
    product.wait_for("why with a cause", lambda: explained("hang"), 20)
    why = explained("hang")
    check("why: the cause is the server", why["verdict"].get("cause") == "server", why["verdict"])
    names = [each["name"] for each in why["who"].get("processes", [])]
    check("why: it names who waited", "victim" in names, names)
    print(aodasync("why", why["id"]), flush=True)


def lossy_link() -> None:
    """Packets are lost for a while: TCP sends again, and the server's line says so."""
    process = victim("hangs", 20)
    with ThreadPoolExecutor(1) as beside:
        losing = beside.submit(injections.loss, {})
        time.sleep(1)
        top = json.loads(aodasync("top", "--json", "--once", "-d", "6"))
        losing.result()
    process.wait(120)
    (line,) = (each for each in top["server"] if each["server"] == SERVER)
    check("top: what TCP sent again is the server's", (line["retransmits"] or 0) > 0, line)
    check("top: with the round trip", (line["rtt_ms"] or 0) > 0, line["rtt_ms"])
    worst = max(top["process"], key=lambda each: each["max_ms"] or 0)
    check("top: a process waited for it", (worst["max_ms"] or 0) >= SLOW_MS, worst)


def granted() -> int:
    """Credits of the one connection, as the client shows them."""
    text = Path("/proc/fs/cifs/DebugData").read_text()
    found = re.search(r"Number of credits: (\d+)", text)
    return int(found[1]) if found else -1


def explained(anomaly: str) -> dict[str, Any]:
    """The newest episode of a kind that has a verdict; empty without one."""
    past = json.loads(aodasync("history", "--json"))["episodes"]
    found = [e for e in past if e["anomaly"] == anomaly and e["verdict"] and not e["open"]]
    return found[-1] if found else {}


def drawn(columns: int, lines: int, *awaited: str) -> str:
    """What ``aodasync top`` draws on a terminal of this size, until all of ``awaited`` is there."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm")
        os.execvp("aodasync", ["aodasync", "top"])  # noqa: S606  # no shell wanted
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    text = ""
    end_sec = time.monotonic() + 40
    while time.monotonic() < end_sec and not all(word in text for word in awaited):
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text += os.read(terminal, 65536).decode("utf-8", "replace")
            except OSError:
                break
    os.write(terminal, b"q")
    _, status = os.waitpid(child, 0)
    check("top: q ends it", status == 0)
    (OUT / "top.screen").write_text(text)
    return text


def many_readers() -> None:
    """Twenty readers, one that does not read, one that sends garbage: nobody else loses a row."""
    readers = {subscribed(): (Decoder(), set[tuple[int, int]]()) for _ in range(READERS - 2)}
    subscribed()  # and never read
    garbage = connected()
    garbage.sendall(b"\xff" * 3000 + b"\n")
    end_sec = time.monotonic() + READ_SEC
    while time.monotonic() < end_sec:
        for channel in select.select(list(readers), [], [], 0.2)[0]:
            decoder, seen = readers[channel]
            for frame in decoder.feed(channel.recv(1 << 18)):
                if frame.type == "rows":
                    ids = (frame.rows[name].tolist() for name in ("issued_ns", "message_id"))
                    seen.update(zip(*ids, strict=True))
    all_seen = [seen for _, seen in readers.values()]
    begin = max(min(seen)[0] for seen in all_seen)
    end = min(max(seen)[0] for seen in all_seen)
    common = [{row for row in seen if begin <= row[0] <= end} for seen in all_seen]
    check(
        "20 readers: none of those that read lost a row",
        all(seen == common[0] for seen in common) and len(common[0]) > 50,
        f"{len(common[0])} rows each",
    )
    for channel in readers:
        channel.close()
    status = json.loads(aodasync("status", "--json"))
    check("20 readers: all were served", status["live"]["served"] >= READERS - 1, status["live"])


def members() -> None:
    """Who is in the group may look; who is not may not; neither gets a bundle."""

    def ends(groups: str, *arguments: str) -> int:
        setpriv = ("setpriv", "--reuid", "65534", "--regid", "65534", f"--{groups}")
        done = subprocess.run(
            [*setpriv, "aodasync", *arguments], capture_output=True, timeout=120, check=False
        )
        return done.returncode

    group = f"groups={grp.getgrnam(GROUP).gr_gid}"
    check("group: a member may look", ends(group, "top", "--json", "-d", "1") == 0)
    check("group: a member gets no snapshot", ends(group, "snapshot") == 77)
    check("group: nobody else may look", ends("clear-groups", "top", "--json", "-d", "1") == 77)


def connected() -> socket.socket:
    """A connection to the control socket."""
    channel = socket.socket(socket.AF_UNIX)
    channel.connect("/run/aodasync/control.sock")
    return channel


def subscribed() -> socket.socket:
    """One that asked for every row."""
    channel = connected()
    channel.sendall(Subscription().encode())
    return channel


def killed(agent: Agent) -> None:
    """After SIGKILL and a new start, every episode is in the history, once."""
    detected = len(agent.events("anomaly_detected"))
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait()
    agent.start()
    product.wait_for("a second start", lambda: len(agent.events("agent_ready")) == 2, 120)
    time.sleep(1)
    past = json.loads(aodasync("history", "--json"))["episodes"]
    ids = [episode["id"] for episode in past]
    check(
        "history: every episode once, also after SIGKILL",
        len(ids) == len(set(ids)) == detected,
        f"{len(ids)} in the history, {detected} in the log",
    )
    check("history: none is open after the agent's end", not any(e["open"] for e in past))


def main() -> int:
    """Run the cases one after the other."""
    agent = Agent("cockpit", configuration())
    agent.start()
    agent.wait("agent_ready", 120)
    workload = Workload(processes=3, rate=1.0)
    time.sleep(5)
    try:
        slow_server(agent)
        hang(agent)
        lossy_link()
        many_readers()
        members()
        killed(agent)
    finally:
        workload.stop()
        print(aodasync("history"), flush=True)
        check("SIGTERM ends the agent well", agent.stop() == 0)
    return product.failed()


if __name__ == "__main__":
    sys.exit(main())
