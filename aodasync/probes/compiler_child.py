# SPDX-License-Identifier: MIT
"""The compiler's child as a process, and its head start.

Its interpreter, its modules, the kernel's types and its list of symbols take 0.2 s,
whatever the configuration says. So the agent starts it before it imports its own
modules, and asks it when they are there. This module imports little itself, therefore.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aodasync.host.capabilities import Capability
from aodasync.host.state_file import CACHE_DIR, STATE_DIR
from aodasync.probes.client_state import CIFS_MODULE, cifs_loaded
from aodasync.process.launch import with_launcher

__all__ = [
    "BTF_DIRECTORY",
    "IMPORTED",
    "SYMBOLS",
    "CompilerChild",
    "give_head_start",
    "interpreters",
    "started",
]

BTF_DIRECTORY: Final = Path("/sys/kernel/btf")
SYMBOLS: Final = Path("/proc/kallsyms")
_FRESH_SEC: Final = 10.0  # a client that went and came again has other addresses

IMPORTED: Final = STATE_DIR / "probes"
"""Byte code that was compiled on another host of the same layout."""

_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# The package `compiler` is imported as a top-level one: see its docstring.
_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from compiler.request import main; "
    "del sys.path[0]; main()"
)


def interpreters(preferred: str | None = None) -> tuple[str, ...]:
    """Python interpreters to try, the likeliest first; ``preferred`` alone if given."""
    if preferred:
        return (preferred,)
    candidates = ("/usr/bin/python3", sys.executable, shutil.which("python3") or "")
    return tuple(dict.fromkeys(path for path in candidates if path and os.access(path, os.X_OK)))


class CompilerChild:
    """One child, for one request; ``ahead`` is what it reads before that (``read_ahead``).

    It dies with the thread that starts it.
    """

    def __init__(self, interpreter: str, ahead: tuple[str, ...] = ()) -> None:
        self._command = (interpreter, "-I", "-c", _BOOTSTRAP, str(Path(__file__).parent), *ahead)
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._begun_sec = time.monotonic()
        self.interpreter = interpreter

    @property
    def age_sec(self) -> float:
        """How long ago it was made: what it read ahead is of then."""
        return time.monotonic() - self._begun_sec

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, unless that was done. Blocks until the launcher runs."""
        if self._process is None:
            # kallsyms has addresses for SYSLOG alone.
            self._process = subprocess.Popen(
                with_launcher(self._command, (Capability.SYSLOG,)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        return self._process

    def ask(self, request: Mapping[str, Any]) -> tuple[bytes, str, int]:
        """What it answers, what it says on stderr, how it ends. Blocks until then."""
        child = self.start()
        if self._killed:
            self.kill()
        out, err = child.communicate(json.dumps(request).encode())
        return out, err.decode(errors="replace"), child.returncode

    def kill(self) -> None:
        """End it, and what it started; from any thread, at any time."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


_AHEAD: Final[list[CompilerChild]] = []


def give_head_start(
    cache_dir: Path = CACHE_DIR, *, client: Path = CIFS_MODULE, btf: Path = BTF_DIRECTORY
) -> None:
    """Start the child that the first request is for, if there is a client to look at.

    To be called in the main thread. A host without a usable interpreter is told so by
    that request.
    """
    if not cifs_loaded(client):
        return
    facts = tuple(map(str, (btf, SYMBOLS, cache_dir, IMPORTED)))
    for interpreter in interpreters()[:1]:
        child = CompilerChild(interpreter, facts)
        try:
            child.start()
        except OSError:
            return
        _AHEAD.append(child)


def started(interpreter: str) -> CompilerChild:
    """The child that has a head start, once; else one that is still to be started. May block."""
    while _AHEAD:
        child = _AHEAD.pop()
        if child.interpreter == interpreter and child.age_sec < _FRESH_SEC:
            return child
        child.kill()
        child.start().communicate()
    return CompilerChild(interpreter)
