# SPDX-License-Identifier: MIT
"""What commands load: an agent for its first hour, a question no more than it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_AGENT = """
import asyncio, os, sys
from pathlib import Path

scratch = Path(sys.argv[1])
from aodasync.cli import run
from aodasync.cli.arguments import parser
from aodasync.host import capabilities, instance_lock
from aodasync.probes import compiler_child

run.require_root = capabilities.give_up = compiler_child.give_head_start = lambda: None
instance_lock.RUN_DIR = scratch / "run"
single_instance = instance_lock.single_instance
instance_lock.single_instance = lambda: single_instance(scratch / "run")

class Ready(Exception):
    pass

async def ready(agent):
    print(*sorted(sys.modules), sep="\\n")
    raise Ready

def start(coroutine):
    import aodasync.agent
    aodasync.agent.Agent.run = ready
    coroutine.send(None)

asyncio.run = start
try:
    run.run(parser().parse_args(["run", "--output-dir", str(scratch / "aod")]))
except Ready:
    pass
"""

_COMMAND = """
import sys
from aodasync.cli.main import main
main(sys.argv[1:])
print(*sorted(sys.modules), sep="\\n")
"""

_NEVER = (
    # Where they are installed, other packages import them for what the agent never does.
    *("rich", "pygments", "attr", "duckdb", "pandas", "pyarrow", "bcc"),
    *("sqlite3", "http", "email", "urllib.request", "xml", "multiprocessing", "unittest"),
    *("curses", "doctest", "pdb", "numpy.random", "numpy.ma", "numpy.fft", "numpy.polynomial"),
    *("numpy.testing", "numpy.f2py"),
    # Without a textfile.
    "prometheus_client",
    # Other commands.
    *("aodasync.report", "aodasync.replay", "aodasync.live.window", "aodasync.live.prometheus"),
    *("aodasync.bundle.anonymise", "aodasync.bundle.renaming", "aodasync.privacy.aliases"),
    *("aodasync.probes.exchange", "aodasync.probes.compiler.btf"),
    # When something is redacted.
    *("aodasync.privacy.contexts", "aodasync.privacy.blocks"),
)


def _loaded(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _among(loaded: list[str], names: tuple[str, ...]) -> list[str]:
    return [
        each
        for each in loaded
        if any(each == name or each.startswith(f"{name}.") for name in names)
    ]


def test_an_agent_loads_what_it_uses_in_its_first_hour(tmp_path: Path) -> None:
    """Up to where its loop runs: nothing of other commands, nor what libraries offer beside."""
    loaded = _loaded(_AGENT, str(tmp_path))
    assert "aodasync.agent" in loaded
    # NumPy before 2.0 loads all of itself, and takes some modules of Python along.
    of_numpy = _loaded('import numpy, sys\nprint(*sys.modules, sep="\\n")')
    assert set(_among(loaded, _NEVER)) <= set(of_numpy)


@pytest.mark.parametrize("command", ["status", "check"])
def test_a_question_loads_neither_numpy_nor_an_event_loop(command: str) -> None:
    """It is asked once a minute by a monitor, or by someone in a hurry: 45 ms, not 190."""
    loaded = _loaded(_COMMAND, command)
    assert "aodasync.cli.ask_agent" in loaded
    assert _among(loaded, ("numpy", "asyncio", "structlog", "anyio", "yaml", "rich")) == []
