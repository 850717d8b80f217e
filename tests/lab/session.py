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
from .stream import Stream
from .tally import Tally
from .testbed import Testbed

# A machine may die so often before the script starts, and with the script, until it is given up.
BOOTS = 3
RUNS = 2
# For a machine that never comes to the script; seconds.
BOOT_LIMIT_S = 900
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


class _DiedError(Exception):
    """A machine ended without a status, or never came to the script."""

    def __init__(self, *, started: bool) -> None:
        super().__init__(started)
        self.started = started


def run_scenario(
    testbed: Testbed, scenario: Scenario, timeout_s: float | None, out: Path | None
) -> Result:
    """Run a scenario, trying again if its machine dies without a word."""
    boots = runs = 0
    patience = testbed.release.architecture.patience
    while boots < BOOTS and runs < RUNS:
        try:
            return _attempt(testbed, scenario, timeout_s or scenario.timeout_s * patience, out)
        except _DiedError as death:
            boots += 1
            runs += death.started
            when = "with the script" if death.started else "before the script started"
            say(f"infrastructure failure: machine {boots} died {when}, without a status")
    return Result(
        testbed.kernel.version, scenario.name, EXIT_LAB, "VM DIED", failures=["the machine died"]
    )


def _attempt(testbed: Testbed, scenario: Scenario, timeout_s: float, out: Path | None) -> Result:
    with tempfile.TemporaryDirectory(prefix="aodasync-lab-") as name:
        scratch = Path(name)
        out_disk, console = scratch / "out.disk", scratch / "console.log"
        make_out_disk(out_disk)
        console.touch()
        run_layer = build_run_layer(testbed, scenario, scratch)
        layers = {"run": run_layer, **testbed.layers()}
        boot = SYSTEMD if scenario.systemd else SCRIPT
        machine = Machine(testbed.kernel, testbed.accelerator, layers, out_disk, console, boot)
        stream = Stream(_print)
        boot_limit_s = BOOT_LIMIT_S * testbed.release.architecture.patience
        begin = time.monotonic()

        def time_left_s() -> float:
            limit = timeout_s if stream.started else min(timeout_s, boot_limit_s)
            return begin + limit - time.monotonic()

        in_time = run_machine(machine, time_left_s, stream.feed)
        seconds = time.monotonic() - begin
        status = read_status(out_disk)
        for line in kernel_complaints(console):
            say(f"the guest's kernel complained: {line}")
        if out is not None:
            if status is not None:
                fetch_files(out_disk, out)
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(console, out / "console.log")
        if not in_time and stream.started:
            status = EXIT_TIMEOUT
        if status is None:
            say("the end of its console:\n" + console_tail(console))
            raise _DiedError(started=stream.started)
        return _judge(testbed, scenario, status, stream.tally, seconds)


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _judge(
    testbed: Testbed, scenario: Scenario, status: int, tally: Tally, seconds: float
) -> Result:
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
