# SPDX-License-Identifier: MIT
"""Children end within their deadline and a little, whatever they do. They are real here."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aodasync.errors import RequirementError
from aodasync.process import children as module
from aodasync.process import launch
from aodasync.process.children import ChildEnd, Children
from tests.loop_lag import loop_lag

pytestmark = pytest.mark.anyio

GRACE_SEC = 2.0  # one second of escalation, and as much for a noisy machine


async def _run(
    *argv: str, timeout_sec: float = 10.0, max_bytes: int = 100_000
) -> tuple[ChildEnd, bytes]:
    sink = io.BytesIO()
    end = await Children().run(argv, sink, timeout_sec=timeout_sec, max_bytes=max_bytes)
    return end, sink.getvalue()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def _gone(pid: int) -> bool:
    for _ in range(100):
        if not _alive(pid):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_output_and_exit_code_are_kept() -> None:
    """A child that ends well leaves its output and no error."""
    end, output = await _run("echo", "seen")
    assert output == b"seen\n"
    assert (end.exit_code, end.error, end.timed_out, end.truncated) == (0, "", False, False)


async def test_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the agent's environment or standard input reaches a child; it starts in /."""
    monkeypatch.setenv("LD_PRELOAD_LIKE", "secret")
    _, output = await _run("sh", "-c", "env; pwd; cat; umask")
    assert b"secret" not in output
    assert b"LC_ALL=C.UTF-8" in output
    assert output.splitlines()[-2:] == [b"/", b"0077"]


async def test_exit_code_comes_with_the_last_complaint() -> None:
    """A child that fails says how: its code, and the last line of its standard error."""
    end, output = await _run("sh", "-c", "echo first >&2; echo second >&2; exit 3")
    assert end.exit_code == 3
    assert end.error == "exit status 3: second"
    assert b"first\nsecond" in output


async def test_death_by_signal_is_named() -> None:
    """A child that is killed by somebody else is told from one that failed."""
    end, _ = await _run("sh", "-c", "kill -SEGV $$")
    assert end.exit_code == -signal.SIGSEGV
    assert end.error == "killed by signal 11"


async def test_missing_program_is_an_error_of_its_own() -> None:
    """A program that is not on the fixed PATH is refused by name."""
    with pytest.raises(RequirementError, match="aod-no-such-tool is not installed"):
        await _run("aod-no-such-tool")


async def test_missing_path_is_found_out_by_the_child() -> None:
    """A program given as a path is not looked at by the agent; the child says that it lacks."""
    end, _ = await _run("/nonexistent/tool")
    assert end.exit_code == 127
    assert "No such file" in end.error


async def test_deadline_ends_a_sleeper() -> None:
    """A child that never ends is put down at its deadline."""
    begun = time.monotonic()
    end, _ = await _run("sleep", "inf", timeout_sec=0.2)
    assert time.monotonic() - begun < 0.2 + GRACE_SEC
    assert end.timed_out
    assert end.error == "timed out after 0.2 s"


async def test_deadline_ends_grandchildren_that_ignore_signals(tmp_path: Path) -> None:
    """A group whose members ignore INT and TERM and hold the pipe is killed, all of it."""
    pids = tmp_path / "pids"
    script = (
        f"trap '' INT TERM HUP; sleep 300 & echo $! >{pids}; sleep 300 & echo $! $$ >>{pids};"
        " echo up; wait; sleep 300"
    )
    begun = time.monotonic()
    end, output = await _run("sh", "-c", script, timeout_sec=0.3)
    assert time.monotonic() - begun < 0.3 + GRACE_SEC
    assert output == b"up\n"
    assert end.timed_out
    assert not end.abandoned
    members = [int(line) for line in pids.read_text().split()]
    assert len(members) == 3
    assert all([await _gone(pid) for pid in members])


async def test_grandchild_that_keeps_the_pipe_open_holds_nobody(tmp_path: Path) -> None:
    """When the child ends, its background process gets a moment, and then goes too."""
    pid_file = tmp_path / "pid"
    begun = time.monotonic()
    end, output = await _run(
        "sh", "-c", f"trap '' INT TERM HUP; sleep 300 & echo $! >{pid_file}; echo done"
    )
    assert time.monotonic() - begun < GRACE_SEC
    assert (output, end.exit_code, end.timed_out) == (b"done\n", 0, False)
    assert await _gone(int(pid_file.read_text()))


async def test_grandchild_that_left_the_group_holds_nobody(tmp_path: Path) -> None:
    """A daemon that left the session keeps the pipe open in vain: reading ends with the child."""
    pid_file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ >{pid_file}; exec sleep 300' & sleep 0.2; echo done"
    begun = time.monotonic()
    end, output = await _run("sh", "-c", script)
    assert time.monotonic() - begun < GRACE_SEC
    assert (output, end.exit_code) == (b"done\n", 0)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


async def test_flood_is_capped_and_the_loop_stays_free() -> None:
    """Output of 500 times the limit keeps its head and tail, and never delays the loop for long.

    It is read in chunks of 64 KiB: a thousand of them show what more would show.
    """
    async with loop_lag() as lags:
        end, output = await _run(
            "sh", "-c", "echo begin; head -c 64000000 /dev/zero; echo end", timeout_sec=60
        )
    assert end.truncated
    cut = re.search(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n", output)
    assert cut
    assert len(output) - len(cut[0]) + int(cut[1]) == 64_000_010
    assert len(output) <= 100_000
    assert output.startswith(b"begin\n")
    assert output.endswith(b"end\n")
    lags.sort()
    assert len(lags) > 20
    assert lags[len(lags) // 2] < 20
    assert lags[len(lags) * 95 // 100] < 50


async def test_endless_output_ends_at_the_deadline() -> None:
    """Output that goes on for ever is cut at the deadline, its newest bytes kept."""
    begun = time.monotonic()
    end, output = await _run("yes", "again", timeout_sec=0.3)
    assert time.monotonic() - begun < 0.3 + GRACE_SEC
    assert end.timed_out
    assert end.truncated
    assert output.startswith(b"again\n")
    assert b"bytes left out" in output


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    """A caller that gives up takes its child with it."""
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(_run("sh", "-c", f"echo $$ >{pid_file}; exec sleep 300"))
    while not pid_file.exists() or not pid_file.read_text():  # noqa: ASYNC110  # another process
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _gone(int(pid_file.read_text()))


async def test_what_outlives_sigkill_is_left_behind_and_reaped_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task in uninterruptible sleep (here: out of reach of signals) gives the caller back.

    It is counted, the same command is refused while it lives, and it is reaped when it ends.
    """
    monkeypatch.setattr(module, "_signal_group", lambda _group, _number: None)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def note(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    children = Children()
    begun = time.monotonic()
    end = await children.run(("sleep", "300"), io.BytesIO(), timeout_sec=0.1, max_bytes=10_000)
    assert time.monotonic() - begun < 0.1 + GRACE_SEC
    assert end.abandoned
    assert end.exit_code is None
    assert "outlived SIGKILL" in end.error
    assert (children.abandoned, children.left_behind) == (1, 1)
    with pytest.raises(RequirementError, match="still hangs"):
        await children.run(("sleep", "300"), io.BytesIO(), timeout_sec=0.1, max_bytes=10_000)
    started[-1].kill()
    while children.left_behind:  # noqa: ASYNC110  # the kernel tells the loop
        await asyncio.sleep(0.01)
    assert started[-1].returncode == -signal.SIGKILL


async def test_children_that_cannot_be_killed_are_not_added_without_end() -> None:
    """Each is another command, on no mount that its words name: after 16 nothing is started."""
    children = Children()
    children._left_behind = {n: ("env", f"BUNDLE={n}", "hook") for n in range(15)}
    assert (await children.run(("true",), io.BytesIO(), timeout_sec=5, max_bytes=9)).error == ""
    children._left_behind[15] = ("env", "BUNDLE=15", "hook")
    with pytest.raises(RequirementError, match="16 children still hang"):
        await children.run(("true",), io.BytesIO(), timeout_sec=5, max_bytes=9)


async def test_sink_that_cannot_be_written_is_the_callers_error() -> None:
    """A full disk ends the child and reaches the caller as the OSError that it is."""

    class Full:
        def write(self, data: bytes, /) -> None:
            raise OSError(28, "No space left on device", str(len(data)))

    with pytest.raises(OSError, match="No space left"):
        await Children().run(("yes",), Full(), timeout_sec=5, max_bytes=10_000)


@pytest.fixture(params=["setpriv", "interpreter"])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, bool]:
    """Each launcher in its turn: setpriv(1), and this interpreter."""
    found: tuple[str, bool] = launch._setpriv() if request.param == "setpriv" else ("", False)
    monkeypatch.setattr(launch, "_setpriv", lambda: found)
    return found


async def test_a_launcher_changes_nothing_but_the_death_signal(launcher: tuple[str, bool]) -> None:
    """The command gets its arguments as they are, and exits as it does without one."""
    assert len(launcher) == 2
    end, output = await _run("sh", "-c", 'echo "$0" "$1"; exit 3', "a=b", "--c d")
    assert (output, end.error) == (b"a=b --c d\n", "exit status 3")
    end, _ = await _run("/nonexistent/tool")
    assert "No such file or directory" in end.error
    end, _ = await _run("sh", "-c", "kill -9 $$")
    assert end.error == "killed by signal 9"


async def test_child_dies_with_the_agent(tmp_path: Path, launcher: tuple[str, bool]) -> None:
    """When the agent is killed, the kernel kills its children."""
    pid_file = tmp_path / "pid"
    agent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, io\n"
        "from aodasync.process import launch\n"
        "from aodasync.process.children import Children\n"
        f"launch._setpriv = lambda: {launcher!r}\n"
        f"command = ('sh', '-c', 'echo $$ >{pid_file}; exec sleep 300')\n"
        "run = Children().run(command, io.BytesIO(), timeout_sec=300, max_bytes=1000)\n"
        "asyncio.run(run)\n",
    )
    while not pid_file.exists() or not pid_file.read_text():  # noqa: ASYNC110  # another process
        await asyncio.sleep(0.01)
    agent.kill()
    await agent.wait()
    assert await _gone(int(pid_file.read_text()))
