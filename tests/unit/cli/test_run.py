# SPDX-License-Identifier: MIT
"""``aodasync run`` from its first line on: stray signals, and how it says why it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

_EARLY = """
import importlib.abc, os, signal, sys
from aodasync.__main__ import main

class Early(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "aodasync.cli.main":
            for each in "USR1", "HUP", "USR2":
                os.kill(os.getpid(), getattr(signal, f"SIG{each}"))

sys.meta_path.insert(0, Early())
os.geteuid = lambda: 1000
sys.argv = ["aodasync", *sys.argv[1:]]
sys.exit(main())
"""
_FAILING = """
import os, sys
os.geteuid = lambda: 0
from aodasync import errors
from aodasync.cli import run
from aodasync.cli.main import main

def fail(arguments, log):
    raise ExceptionGroup("unhandled errors in a TaskGroup", [eval(sys.argv[1])])

run._run_agent = fail
sys.exit(main(["run", "--log-format", "json"]))
"""


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_a_signal_during_the_imports_does_not_end_the_agent() -> None:
    """SIGUSR1, SIGHUP and SIGUSR2 before the first import: it goes on to its own end."""
    done = _python(_EARLY, "run")
    assert done.returncode == 77
    assert "must run as root" in done.stderr


def test_another_command_is_ended_by_them_as_any_process() -> None:
    """A terminal that goes away ends ``aodasync top``, however early it goes."""
    done = _python(_EARLY, "config-schema")
    assert -done.returncode in {signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2}


@pytest.mark.parametrize(
    ("error", "code", "says", "hint"),
    [
        ("errors.RequirementError('no bcc', hint='apt install it')", 69, "no bcc", "apt install"),
        ("errors.NotPermittedError('no rights', hint='sudo')", 77, "no rights", "sudo"),
        ("ValueError('odd')", 1, "ValueError: odd", "defect"),
    ],
)
def test_the_last_line_of_the_log_says_why_it_ended(
    error: str, code: int, says: str, hint: str
) -> None:
    """``agent_failed``, critical, with what stderr says and the exit code, once."""
    done = _python(_FAILING, error)
    (event,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["event"], event["level"]) == ("agent_failed", "critical")
    assert event["error"] == says
    assert hint in event["hint"]
    assert event["exit_code"] == done.returncode == code
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
