# SPDX-License-Identifier: MIT
"""What signals do to a whole agent, in a process of its own."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broken_drop_ins import BROKEN

from tests.kernel.waiting import Waiting

_GOOD = "watch_interval_sec: 2\naudit: {enabled: false}\n"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Waiting]:
    """A waiting agent with a good configuration to read again."""
    (tmp_path / "config.yaml").write_text(_GOOD)
    with contextlib.ExitStack() as stack:
        yield Waiting.started(stack, tmp_path, 60)


def test_a_signal_that_is_not_for_the_end_does_not_end_it(agent: Waiting) -> None:
    """Nor do ten of each of them, nor one for real-time use."""
    for name in ("HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "RTMIN"):
        for _ in range(10):
            agent.process.send_signal(getattr(signal, f"SIG{name}"))
    agent.wait("config_reloaded", 10)
    agent.answer(signal.SIGHUP, "config_reloaded")
    agent.process.terminate()
    assert agent.process.wait(30) == 0


def test_sighup_reads_the_configuration_again(agent: Waiting, tmp_path: Path) -> None:
    """A good one is taken over; what needs a restart is named; systemd hears of both ends."""
    config = tmp_path / "config.yaml"
    config.write_text(f"{_GOOD}recorder: {{max_events: 20000}}\n")
    reloaded = agent.answer(signal.SIGHUP, "config_reloaded")
    assert "recorder.max_events" in reloaded["needs_restart"]
    assert agent.events("agent_stopped") == []


def test_a_bad_configuration_is_refused(agent: Waiting, tmp_path: Path) -> None:
    """All of its errors are in the log; the agent goes on and takes a good one later."""
    config = tmp_path / "config.yaml"
    config.write_text("watch_interval_sec: fast\nrecorder: {max_events: -1}\n")
    refused = agent.answer(signal.SIGHUP, "config_refused")
    assert len(refused["errors"]) == 2
    assert "watch_interval_sec" in refused["errors"][0]
    config.unlink()
    assert agent.answer(signal.SIGHUP, "config_refused")["errors"]
    config.write_text(_GOOD)
    agent.answer(signal.SIGHUP, "config_reloaded")


def test_a_broken_drop_in_is_refused_with_its_place(agent: Waiting, tmp_path: Path) -> None:
    """Each of ten, in the log by file, line and column; what was good goes on, and works after."""
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (directory / "10-good.yaml").write_text("watch_interval_sec: 3\n")
    broken = directory / "50-broken.yaml"
    for what, (text, position) in BROKEN.items():
        broken.write_bytes(text)
        (error,) = agent.answer(signal.SIGHUP, "config_refused")["errors"]
        assert error.startswith(f"{broken}:{position}: "), what
    assert agent.events("config_reloaded") == []
    broken.unlink()
    assert agent.answer(signal.SIGHUP, "config_reloaded")["level"] == "info"


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    """The first one waits for a bundle whose action hangs, the second one for nothing.

    What was collected so far is there for the next start, the action's child is not.
    """
    (tmp_path / "hang").touch()
    with contextlib.ExitStack() as stack:
        agent = Waiting.started(stack, tmp_path, 60)
        agent.process.send_signal(signal.SIGUSR1)
        _until(lambda: _children_named("sleep", agent.process.pid))
        (child,) = _children_named("sleep", agent.process.pid)
        agent.process.terminate()
        agent.wait("agent_stopping", 10)
        begun_sec = time.monotonic()
        agent.process.terminate()
        assert agent.process.wait(10) == 128 + signal.SIGTERM
        assert time.monotonic() - begun_sec < 2
        assert agent.events()[-1]["event"] == "agent_ended_at_once"
    _until(lambda: not Path(f"/proc/{child}").exists())
    assert list((tmp_path / "aod" / "batches").glob("*.partial"))


def _children_named(comm: str, parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if Path(f"/proc/{pid}/comm").read_text().strip() == comm]


def _until(found: Callable[[], object]) -> None:
    deadline_sec = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline_sec
        time.sleep(0.02)
