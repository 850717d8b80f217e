#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=An agent whose probes record nothing, or half, says so; one that sees does not
# lab: kernels=6.12
# lab: timeout=900
"""Blindness: probes that see, on busy and idle mounts; probes that run and record too little."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, "/lab")
import product
from product import Agent, Workload, check, lab

PYTHON = "/opt/aodasync/bin/python"
FTRACE = Path("/proc/sys/kernel/ftrace_enabled")
SECOND_MOUNT = Path("/mnt/idle")
# The client's totals are read 10 s and 20 s after the start, then every minute.
FIRST_SEC, NEXT_SEC, MARGIN_SEC = 20, 60, 8


def started(name: str, program: Sequence[str] = ("aodasync",)) -> Agent:
    """An agent that is attached."""
    print(f"=== {name}", flush=True)
    agent = Agent(name, product.quiet_config())
    agent.start(program=program)
    print("ready:", agent.wait("agent_ready", 120)["probe"], flush=True)
    return agent


def status() -> dict[str, Any]:
    """What ``aodasync status --json`` says."""
    found: dict[str, Any] = json.loads(subprocess.check_output(["aodasync", "status", "--json"]))
    return found


def doctor(name: str = "agent") -> dict[str, str]:
    """A line of ``aodasync doctor``, the one on the running agent unless named."""
    told = subprocess.run(
        ["aodasync", "doctor", "--json"], stdout=subprocess.PIPE, check=False
    ).stdout
    lines: list[dict[str, str]] = json.loads(told)["checks"]
    return next(line for line in lines if line["name"] == name)


def age_sec(agent: Agent, event: dict[str, Any]) -> float:
    """Seconds from when the agent was attached to an event."""
    return product.unix_time(event) - product.unix_time(agent.wait("agent_ready"))


def ended(agent: Agent) -> None:
    """Stop it."""
    check("the agent stops with status 0", agent.stop() == 0)


def check_blind(agent: Agent, most: float) -> None:
    """It says so in time, in the log, in status and in doctor; ``most`` is what it may record."""
    told = agent.wait("agent_blind", FIRST_SEC + MARGIN_SEC + 5)
    print(told, flush=True)
    after_sec = age_sec(agent, told)
    what = f"agent_blind is logged within {FIRST_SEC + MARGIN_SEC} s of the start"
    check(what, after_sec < FIRST_SEC + MARGIN_SEC, f"{after_sec:.1f} s")
    recorded = told["recorded"] / told["client_sent"]
    check(f"it recorded at most {most:.0%}", recorded <= most, f"{recorded:.1%}")
    check("status says blind", status()["blind"] is True, status()["sight"])
    line = doctor()
    check("doctor warns", line["state"] == "warning" and "blind" in line["detail"], line["detail"])


def check_sees_again(agent: Agent) -> None:
    """After a minute in which it saw nearly all the time, it says that."""
    told = agent.wait("agent_sees_again", 2 * NEXT_SEC + MARGIN_SEC)
    print(told, flush=True)
    check("once it sees, it says so", told["recorded"] >= 0.75 * told["client_sent"])
    check("status is not blind any more", status()["blind"] is False)
    check("nor is doctor", doctor()["state"] == "ok", doctor()["detail"])
    looks = len(agent.events("agent_blind"))
    check("blindness was told at each look while it lasted", 1 <= looks <= 2, looks)


def sees() -> None:
    """The right plan: busy until the first comparison, then nothing but ECHO."""
    agent = started("sees")
    workload = Workload(processes=4, rate=10)
    time.sleep(FIRST_SEC + 3)
    workload.stop()
    busy = status()
    print("sight:", busy["sight"], flush=True)
    check("a comparison was made", busy["sight"]["client_sent"] > 200, busy["sight"])
    check("all was recorded", busy["sight"]["recorded"] >= busy["sight"]["client_sent"])
    check("it is not blind on a busy mount", busy["blind"] is False)
    time.sleep(NEXT_SEC)
    check("nor on idle mounts", status()["blind"] is False, status()["sight"])
    check("doctor says that it runs", doctor()["state"] == "ok", doctor()["detail"])
    check("agent_blind was never logged", not agent.events("agent_blind"))
    ended(agent)


def sees_nothing() -> None:
    """Programs that return at once."""
    agent = started("nothing", [PYTHON, "/lab/wrong_plan.py", "nothing"])
    check_blind(agent, 0)
    ended(agent)


def sees_half() -> None:
    """Programs that return at once in half of the time."""
    agent = started("half", [PYTHON, "/lab/wrong_plan.py", "half"])
    check_blind(agent, 0.7)
    check("half is not told as nothing", agent.events("agent_blind")[0]["recorded"] > 0)
    ended(agent)


def sees_without_ftrace() -> None:
    """What no plan can foresee: somebody switched off what calls the programs."""
    FTRACE.write_text("0")
    agent = started("ftrace")
    check_blind(agent, 0)
    cause = doctor("function tracing")
    check("doctor names the cause and the fix", cause["state"] == "failed", cause["fix"])
    FTRACE.write_text("1")
    check_sees_again(agent)
    ended(agent)


def main() -> None:
    """One boot for all."""
    lab(f'lab_mount "nosharesock,echo_interval=2" {SECOND_MOUNT}')
    sees()
    workload = Workload(processes=4, rate=10)
    sees_nothing()
    sees_half()
    sees_without_ftrace()
    workload.stop()


main()
