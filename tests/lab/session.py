# SPDX-License-Identifier: MIT
"""One scenario on one kernel: a fresh machine, tried again if it dies without a word."""

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .command import say
from .errors import EXIT_LAB, EXIT_TIMEOUT
from .outcome import console_tail, fetch_files, kernel_complaints, read_status
from .qemu import Machine, make_out_disk, run_machine
from .runlayer import build_run_layer
from .scenario import Scenario
from .tally import Tally
from .testbed import Testbed

ATTEMPTS = 2
# What runs as PID 1, as kernel parameters.
SCRIPT = ("lab.init=/lab/init.sh",)
SYSTEMD = ("lab.init=/sbin/init", "systemd.unit=lab.target", "systemd.show_status=no")


@dataclass(frozen=True, slots=True)
class Result:
    """How a scenario ended on a kernel.

    ``verdict`` is a word or two for the table, ``checks`` the number of ``ok`` and ``not ok``
    lines that the script itself printed.
    """

    kernel: str
    scenario: str
    status: int
    verdict: str
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    checks: int = 0


def run_scenario(
    testbed: Testbed, scenario: Scenario, timeout_s: float | None, out: Path | None
) -> Result:
    """Run a scenario, retrying once a machine that died before it reported."""
    for attempt in range(1, ATTEMPTS + 1):
        result = _attempt(testbed, scenario, timeout_s or scenario.timeout_s, out)
        if result is not None:
            return result
        say(f"infrastructure failure: the machine died without a status (attempt {attempt})")
    return Result(
        testbed.kernel.version, scenario.name, EXIT_LAB, "VM DIED", failures=["the machine died"]
    )


def _attempt(
    testbed: Testbed, scenario: Scenario, timeout_s: float, out: Path | None
) -> Result | None:
    with tempfile.TemporaryDirectory(prefix="aodasync-lab-") as name:
        scratch = Path(name)
        out_disk, console = scratch / "out.disk", scratch / "console.log"
        make_out_disk(out_disk)
        console.touch()
        run_layer = build_run_layer(testbed, scenario, scratch)
        layers = {"run": run_layer, **testbed.layers()}
        boot = SYSTEMD if scenario.systemd else SCRIPT
        machine = Machine(testbed.kernel, testbed.accelerator, layers, out_disk, console, boot)
        tally = Tally()

        def receive(data: bytes) -> None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            tally.feed(data)

        started = time.monotonic()
        in_time = run_machine(machine, timeout_s, receive)
        seconds = time.monotonic() - started
        status = read_status(out_disk)
        for line in kernel_complaints(console):
            say(f"the guest's kernel complained: {line}")
        if out is not None:
            if status is not None:
                fetch_files(out_disk, out)
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(console, out / "console.log")
        if in_time and status is None:
            say("the end of its console:\n" + console_tail(console))
            return None
        return _judge(testbed, scenario, status if in_time else EXIT_TIMEOUT, tally, seconds)


def _judge(
    testbed: Testbed, scenario: Scenario, status: int | None, tally: Tally, seconds: float
) -> Result:
    assert status is not None
    failures = list(tally.failures)
    if status == EXIT_TIMEOUT:
        failures.append(f"ended by the time limit after {seconds:.0f} s")
    elif status != 0 and not failures:
        failures.append(f"exit status {status}")
    elif status == 0 and failures:
        status = 1
    # A script without checks that ends well is one check.
    passed = tally.passed or int(not failures)
    verdict = "ok" if status == 0 else "TIMEOUT" if status == EXIT_TIMEOUT else "FAILED"
    version = testbed.kernel.version
    checks = tally.passed + tally.failed
    return Result(version, scenario.name, status, verdict, passed, failures, seconds, checks)
