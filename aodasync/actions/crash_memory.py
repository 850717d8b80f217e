# SPDX-License-Identifier: MIT
"""Which actions ran when the agent, or the host, crashed.

An action that ran at two crashes in a row may be their cause (reading /proc/fs/cifs/DebugData
was one, on old kernels), so it is left out. It is tried again by another version of the
agent, or once ``aodasync doctor --retry`` has called :func:`retry`.

Two files in the state directory keep that. ``running-actions.json`` is written when an action
begins and ends, and synced only for those that may crash the kernel: a sync takes its time.
``crashed-actions.json`` has the counts, as of the agent's start or of the last retry.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Final

from aodasync.actions.action import Action, Cost
from aodasync.host import state_file

__all__ = ["CRASHES", "CrashMemory", "retry"]

CRASHES: Final = 2
"""An action that ran at so many crashes in a row is left out."""

_RUNNING: Final = "running-actions.json"
_CRASHED: Final = "crashed-actions.json"


class CrashMemory:
    """What is running now, and what ran at the last crashes.

    Everything but ``crashes``, ``count`` and ``is_stale`` blocks.
    """

    def __init__(self, directory: Path, version: str) -> None:
        self._directory = directory
        self._version = version
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()  # of the counts: held for a moment
        self._saving = threading.Lock()
        self._changes = 0
        self._saved = 0
        self._sync_due = False
        self.crashes: dict[str, int] = {}

    @property
    def left_out(self) -> frozenset[str]:
        """Actions that are not to be run."""
        return frozenset(name for name, count in self.crashes.items() if count >= CRASHES)

    def load(self) -> None:
        """Take over what the last agent left, and begin a run of one's own.

        Raises:
            OSError: it cannot be read, or not be written.
            ValueError: it is no such file; it is begun anew.
            TypeError: likewise.
        """
        try:
            running = state_file.load(self._directory, _RUNNING) or {}
            crashed = state_file.load(self._directory, _CRASHED) or {}
            if running.get("version") == self._version:
                self.crashes = _counted(running.get("running"), crashed.get("crashes", {}))
        finally:
            state_file.save(self._directory, _CRASHED, {"crashes": self.crashes})
            self._write([], synced=True)

    def begin(self, action: Action) -> None:
        """The action is about to run."""
        self.count(action, 1)
        self.save()

    def end(self, action: Action) -> None:
        """It has ended, in whatever way."""
        self.count(action, -1)
        self.save()

    def count(self, action: Action, step: int) -> None:
        """One more of it runs, or one less; :meth:`save` is to follow."""
        with self._lock:
            before = self._running[action.name] > 0
            self._running[action.name] += step
            if before != (self._running[action.name] > 0):
                self._changes += 1
                self._sync_due = self._sync_due or action.cost >= Cost.MOUNT

    @property
    def is_stale(self) -> bool:
        """Whether what runs is not what was saved."""
        return self._saved != self._changes

    def save(self) -> None:
        """Write what runs now, unless that was done; one call does it for all that came before."""
        with self._saving:
            with self._lock:
                if not self.is_stale:
                    return
                changes, synced = self._changes, self._sync_due
                self._sync_due = False
                running = [name for name, count in self._running.items() if count > 0]
            # A state that cannot be kept costs no evidence.
            with contextlib.suppress(OSError):
                self._write(running, synced=synced)
            self._saved = changes

    def _write(self, running: list[str], *, synced: bool) -> None:
        state = {"version": self._version, "running": running}
        state_file.save(self._directory, _RUNNING, state, synced=synced)


def _counted(running: Any, crashes: Any) -> dict[str, int]:
    """The crashes in a row of each action, the last one included if there was one.

    Raises:
        TypeError: it is not what was saved.
    """
    if not isinstance(running, list) or not isinstance(crashes, dict):
        raise TypeError("not the state of actions")
    before = {str(name): count for name, count in crashes.items() if isinstance(count, int)}
    kept = {name: count for name, count in before.items() if count >= CRASHES}
    return kept | {str(name): before.get(str(name), 0) + 1 for name in running}


def retry(directory: Path) -> tuple[str, ...]:
    """Let every action be run again from the agent's next start on; returns those left out.

    Raises:
        OSError: the state cannot be read or written.
        ValueError: it is no such file.
        TypeError: likewise.
    """
    saved = state_file.load(directory, _CRASHED)
    if saved is None:
        return ()
    left_out = _counted([], saved.get("crashes"))
    state_file.save(directory, _CRASHED, {"crashes": {}})
    return tuple(sorted(left_out))
