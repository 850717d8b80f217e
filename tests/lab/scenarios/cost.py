#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=The cost of watching: BPF a request, the agent's CPU, throughput with and without
# lab: timeout=1800
"""What the agent costs, measured in one machine: ratios, since an emulator's times are its own."""

import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise

sys.path.insert(0, "/lab")
import bpf_cost
import product
from product import MOUNT, Agent, check

PAIRS = 20
STUDENT_T = 2.093  # of 19 degrees of freedom, two-sided 95 %
FEWEST_RATIO = 0.98
MOST_EMPTY = 15.0
FILES = 150
PARTS = 15

_WORK = """
import sys
from pathlib import Path
for number in range(int(sys.argv[2])):
    path = Path(sys.argv[1]) / f"cost-{number % 7}"
    path.write_bytes(b"x" * 4096)
    path.stat()
    path.read_bytes()
    path.unlink()
"""


def work(files: int = FILES) -> float:
    """A fixed amount of requests; returns the seconds it took."""
    begun = time.monotonic()
    subprocess.run(["/usr/bin/python3", "-c", _WORK, str(MOUNT), str(files)], check=True)
    return time.monotonic() - begun


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, of threads that ended as well (MAKE_PROCESS_CPUCLOCK)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def started(agent: Agent, times: int) -> int:
    """Start the agent, wait until it is attached and has settled; returns its pid."""
    agent.start()
    agent.wait("agent_ready", 120, skip=times)
    time.sleep(1)
    assert agent.process is not None
    return agent.process.pid


def bpf_and_cpu(agent: Agent) -> None:
    """Nanoseconds of BPF a request and program, beside empty programs; CPU of the agent."""
    pid = started(agent, 0)
    with bpf_cost.empty_programs(), bpf_cost.counted():
        work(20)
        idle_before, idle_begun = cpu_ns(pid), time.monotonic()
        time.sleep(10)
        idle_ns_a_sec = (cpu_ns(pid) - idle_before) / (time.monotonic() - idle_begun)
        cpu_before, begun = cpu_ns(pid), time.monotonic()
        counts = [bpf_cost.runs()]
        for _ in range(PARTS):
            work(3 * FILES // PARTS)
            counts.append(bpf_cost.runs())
        cpu_after, took_sec = cpu_ns(pid), time.monotonic() - begun
    first, last = counts[0], counts[-1]
    passed = {name: now.since(first.get(name, bpf_cost.Runs())) for name, now in last.items()}
    requests = passed["request_release"].count
    least = bpf_cost.least([bpf_cost.a_request(*two) for two in pairwise(counts)])
    print(f"{'program':20} {'runs':>7} {'ns/run':>8} {'ns/request':>10} {'least':>8}")
    totals = {True: 0.0, False: 0.0}
    for name, run in sorted(passed.items()):
        mean_ns = run.total_ns / run.count if run.count else 0
        a_request_ns = run.total_ns / requests
        totals[name.startswith(bpf_cost.EMPTY)] += a_request_ns
        print(f"{name:20} {run.count:7} {mean_ns:8.0f} {a_request_ns:10.0f} {least[name]:8.0f}")
    ours_ns, empty_ns = totals[False], totals[True]
    print(f"BPF a request: {ours_ns:.0f} ns, {ours_ns / empty_ns:.1f} x three empty programs")
    empty = sum(name.startswith(bpf_cost.EMPTY) for name in passed)
    check("three empty programs ran beside ours", empty == 3, empty)
    check("requests passed", requests > 1000, requests)
    check(
        f"BPF costs at most {MOST_EMPTY:.0f} x three empty programs a request",
        ours_ns <= MOST_EMPTY * empty_ns,
        f"{ours_ns:.0f} ns, empty {empty_ns:.0f} ns, ratio {ours_ns / empty_ns:.1f}",
    )
    busy_ns = cpu_after - cpu_before - idle_ns_a_sec * took_sec
    print(
        f"the agent's CPU: {(cpu_after - cpu_before) / requests / 1e3:.2f} ms per 1,000 requests "
        f"({requests} in {took_sec:.1f} s), {busy_ns / requests / 1e3:.2f} ms of it above idle; "
        f"idle {idle_ns_a_sec / 1e7:.2f} % of a CPU",
        flush=True,
    )
    check("the agent stops with status 0", agent.stop() == 0)


def throughput(agent: Agent) -> None:
    """The same work with the agent and without, in turn; first one, then the other first."""
    ratios = []
    for pair in range(PAIRS):
        took = {}
        for watched in (True, False) if pair % 2 else (False, True):
            if watched:
                started(agent, len(agent.events("agent_ready")))
            took[watched] = work()
            if watched:
                agent.stop()
        ratios.append(took[False] / took[True])
        print(f"pair {pair}: off {took[False]:.2f} s, on {took[True]:.2f} s", flush=True)
    mean, error = statistics.mean(ratios), statistics.stdev(ratios) / PAIRS**0.5
    low, high = mean - STUDENT_T * error, mean + STUDENT_T * error
    print(f"throughput on/off: {mean:.3f}, 95 % interval {low:.3f}..{high:.3f}", flush=True)
    check(
        f"throughput with the agent is not below {FEWEST_RATIO}",
        high >= FEWEST_RATIO,
        f"{mean:.3f} ({low:.3f}..{high:.3f})",
    )


def main() -> None:
    """One boot for all."""
    product.lab('lab_umount; lab_mount "nolease,cache=none"')
    os.sync()
    agent = Agent("cost", product.quiet_config())
    work(20)
    bpf_and_cpu(agent)
    throughput(agent)


main()
