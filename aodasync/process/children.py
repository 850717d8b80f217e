# SPDX-License-Identifier: MIT
"""Children that can do the agent no harm, whatever they do.

1. A child is an argument vector, never a shell line; its PATH and locale are
   fixed, its standard input is /dev/null, it starts in ``/``.
2. It leads a session and process group of its own, so that its own children
   are signalled with it. What leaves the group by setsid(2) is out of reach,
   but cannot hold us: reading ends with the child, not with the pipe.
3. A launcher asks the kernel to kill it when the agent dies, leaves it the capabilities that
   it needs, and then execs the command (:mod:`aodasync.process.launch`). PR_SET_PDEATHSIG
   fires when the *thread* that forked ends, so children are started from the event loop's
   thread. That thread waits for the exec of the launcher, a local file, and never for the
   command's.
4. Its output is read in a worker thread and capped (:mod:`aodasync.process.output`).
5. Past its deadline the group is interrupted, terminated, killed. The leader is
   reaped only after the last signal: until then its number cannot be reused.
6. A task in uninterruptible sleep outlives even SIGKILL. It is left behind, and
   reaped whenever it ends; the caller goes on. While one is left behind, neither is
   the same command started again nor any other that names a path on the same mount,
   or each bundle would add one more; while 16 are, nothing is started. So there is one
   :class:`Children` in the agent.

Its end is seen through a pidfd: no SIGCHLD handler, no thread that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import BinaryIO, Final, cast

import anyio

from aodasync.errors import RequirementError
from aodasync.host.capabilities import Capability
from aodasync.host.mountinfo import mounts_named, read_mounts
from aodasync.host.threads import in_thread
from aodasync.process.launch import ENVIRONMENT, with_launcher
from aodasync.process.output import Captured, Sink, capture

__all__ = ["ChildEnd", "Children"]

_ESCALATION: Final = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.3), (signal.SIGKILL, 0.5))
_PIPE_GRACE_SEC: Final = 0.25
_MOST_LEFT_BEHIND: Final = 16
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended.

    ``exit_code`` is negative for a signal, and None if it was left behind.
    ``error`` is empty for a child that ended by itself with 0.
    """

    exit_code: int | None
    truncated: bool
    timed_out: bool
    abandoned: bool
    error: str


class Children:
    """Starts children and sees to their end. ``abandoned`` counts those ever left behind."""

    def __init__(self) -> None:
        self._left_behind: dict[int, tuple[str, ...]] = {}
        self.abandoned = 0

    @property
    def metrics(self) -> dict[str, int]:
        """Children that outlived SIGKILL: ``abandoned`` ever, ``left_behind`` now."""
        return {"abandoned": self.abandoned, "left_behind": self.left_behind}

    @property
    def left_behind(self) -> int:
        """Children that outlived SIGKILL and have not ended yet."""
        return len(self._left_behind)

    async def run(
        self,
        argv: Sequence[str],
        sink: Sink | Callable[[], BinaryIO],
        *,
        timeout_sec: float,
        max_bytes: int,
        raw: bool = False,
        capabilities: Collection[Capability] | None = (),
        started: Callable[[], object] = lambda: None,
        environment: Mapping[str, str] = _NONE,
    ) -> ChildEnd:
        """Run a command to its end or its deadline; never much longer.

        Cancelling kills the child. ``sink`` is written from a worker thread; one that a
        function opens is opened in one, too, and closed at the end. ``raw`` output
        is not redacted; ``capabilities`` are all that it has (None: whatever the agent kept).
        ``started`` is called once it runs. ``environment`` is what it has beside PATH and locale.

        Raises:
            RequirementError: the program is not there, or an earlier child still hangs
                in the same command or on the same mount, or too many do anywhere.
            OSError: it could not be started, or the sink could not be written.
        """
        command = tuple(argv)
        if self._left_behind:
            earlier = tuple(self._left_behind.values())
            await in_thread(partial(_refuse_what_hangs, command, earlier), abandon=True)
        with contextlib.ExitStack() as opened:
            prepare = partial(_prepared, command, capabilities, sink, opened)
            full, into = await in_thread(prepare)
            process = subprocess.Popen(  # noqa: ASYNC220  # see 3 above; vfork and exec take 1 ms
                full,
                bufsize=0,
                cwd="/",
                env={**environment, **ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                umask=0o077,
            )
            exit_ = _Exit(process)
            closing = opened.pop_all()
        stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        reading = asyncio.ensure_future(_read(process, stop_fd, into, closing, max_bytes, raw))
        try:
            started()
            with anyio.move_on_after(timeout_sec):
                await exit_.seen.wait()
            timed_out = not exit_.seen.is_set()
            if timed_out:
                await _end_group(process, exit_)
            else:
                # Grandchildren may hold the pipe open; their last words get a moment.
                with anyio.move_on_after(_PIPE_GRACE_SEC):
                    await asyncio.shield(reading)
            abandoned = not exit_.seen.is_set()
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            self._reap(process, exit_, command)
            os.eventfd_write(stop_fd, 1)
            with anyio.CancelScope(shield=True):
                try:
                    captured = await reading
                finally:
                    os.close(stop_fd)
        if abandoned:
            self.abandoned += 1
        return ChildEnd(
            exit_code=process.returncode,
            truncated=captured.left_out_bytes > 0,
            timed_out=timed_out,
            abandoned=abandoned,
            error=_describe(process, captured, timeout_sec if timed_out else None),
        )

    def _reap(
        self, process: subprocess.Popen[bytes], exit_: _Exit, command: tuple[str, ...]
    ) -> None:
        """Reap the child now, or whenever it ends."""
        if exit_.seen.is_set():
            process.wait()
            return
        self._left_behind[process.pid] = command

        def reap() -> None:
            process.wait()
            del self._left_behind[process.pid]

        exit_.then = reap


class _Exit:
    """The end of a child: ``seen`` is set and ``then`` called when it comes, before reaping."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.seen = asyncio.Event()
        self.then: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except OSError:
            _signal_group(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        self._loop.add_reader(self._descriptor, self._notice)

    def _notice(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.seen.set()
        if self.then is not None:
            self.then()


def _refuse_what_hangs(command: tuple[str, ...], earlier: tuple[tuple[str, ...], ...]) -> None:
    if len(earlier) >= _MOST_LEFT_BEHIND:
        raise RequirementError(f"{len(earlier)} children still hang in the kernel")
    if command in earlier:
        raise RequirementError(f"an earlier {command[0]} still hangs in the kernel")
    mounts = read_mounts()
    wanted = mounts_named(command, mounts)
    for left in earlier:
        for device in mounts_named(left, mounts).keys() & wanted.keys():
            raise RequirementError(f"{wanted[device]} is left alone: a {left[0]} still hangs there")


def _prepared(
    command: tuple[str, ...],
    capabilities: Collection[Capability] | None,
    sink: Sink | Callable[[], BinaryIO],
    opened: contextlib.ExitStack,
) -> tuple[list[str], Sink]:
    """The command behind its launcher, and what its output goes to. Raises as :func:`run`."""
    into = opened.enter_context(sink()) if callable(sink) else sink
    return with_launcher(command, capabilities), into


async def _read(  # noqa: PLR0917  # passed on
    process: subprocess.Popen[bytes],
    stop_fd: int,
    into: Sink,
    closing: contextlib.ExitStack,
    max_bytes: int,
    raw: bool,  # noqa: FBT001
) -> Captured:
    streams = cast("io.FileIO", process.stdout), cast("io.FileIO", process.stderr)

    def work() -> Captured:
        with closing:
            return capture(*streams, stop_fd, into, max_bytes, raw=raw)

    return await in_thread(work, unlimited=True)


async def _end_group(process: subprocess.Popen[bytes], exit_: _Exit) -> None:
    for number, grace_sec in _ESCALATION:
        _signal_group(process.pid, number)
        with anyio.move_on_after(grace_sec):
            await exit_.seen.wait()
            return


def _signal_group(group: int, number: signal.Signals) -> None:
    # PermissionError: all that is left of the group changed its user.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _describe(
    process: subprocess.Popen[bytes], captured: Captured, timeout_sec: float | None
) -> str:
    code = process.returncode
    if code is None:
        return f"timed out after {timeout_sec:g} s and outlived SIGKILL: pid {process.pid} left"
    if timeout_sec is not None:
        return f"timed out after {timeout_sec:g} s"
    if code == 0:
        return ""
    what = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    lines = captured.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{what}: {lines[-1][:200]}" if lines else what
