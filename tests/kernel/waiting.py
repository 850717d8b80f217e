# SPDX-License-Identifier: MIT
"""An agent that waits for the client, in a process of its own, and its log."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.kernel.waiting_agent import PROGRAM

__all__ = ["Waiting"]


class Waiting:
    """A waiting agent and its log."""

    def __init__(self, directory: Path, poll_sec: float) -> None:
        self._module = directory / "cifs"
        self._out = directory / "out"
        self._errors = directory / "errors"
        argv = [sys.executable, "-c", PROGRAM, str(directory), str(poll_sec)]
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(argv, stdout=out, stderr=errors)
        self.wait("agent_waiting", 30)

    @classmethod
    def started(cls, agents: contextlib.ExitStack, directory: Path, poll_sec: float) -> Waiting:
        """One that is killed at the end of the test, if it still lives."""
        waiting = cls(directory, poll_sec)
        agents.callback(waiting.process.wait)
        agents.callback(waiting.process.kill)
        return waiting

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Log lines, all or by event name."""
        lines = self._out.read_text().splitlines()
        return [e for e in map(json.loads, lines) if name in ("", e["event"])]

    def wait(self, name: str, within_sec: float) -> float:
        """Seconds until an event was logged."""
        begun_sec = time.monotonic()
        while not self.events(name):
            assert self.process.poll() is None, self._errors.read_text()
            assert time.monotonic() - begun_sec < within_sec, f"no {name}: {self.events()}"
            time.sleep(0.01)
        return time.monotonic() - begun_sec

    def answer(self, number: signal.Signals, name: str, within_sec: float = 10) -> dict[str, Any]:
        """The first event of that name after the signal."""
        before, deadline_sec = len(self.events(name)), time.monotonic() + within_sec
        self.process.send_signal(number)
        while len(found := self.events(name)) == before:
            assert self.process.poll() is None, self._errors.read_text()
            assert time.monotonic() < deadline_sec, f"no {name}: {self.events()}"
            time.sleep(0.01)
        return found[before]

    def load(self) -> None:
        """Let the module appear in sysfs, live."""
        self._module.mkdir()
        (self._module / "initstate").write_text("live\n")

    def stop(self) -> None:
        """End it; it must have complained of nothing."""
        self.process.terminate()
        assert self.process.wait(30) == 0
        assert [e for e in self.events() if e["level"] not in ("debug", "info")] == []
        assert self._errors.read_text() == ""
