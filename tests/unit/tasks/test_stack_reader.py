# SPDX-License-Identifier: MIT
"""Stacks are read by a child when they are wanted, and handed to the probe."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.errors import RequirementError
from aodasync.host.clock import SystemClock
from aodasync.probes.interface import Probe
from aodasync.process.children import Children
from aodasync.tasks.stack_reader import StackReader

pytestmark = pytest.mark.anyio


class _Probe:
    """A probe that wants these stacks."""

    def __init__(self, *wanted: int) -> None:
        self.wanted = wanted
        self.given: list[tuple[int, Mapping[int, str | None]]] = []

    def wanted_stacks(self) -> tuple[int, ...]:
        return self.wanted

    def set_stacks(self, read_ns: int, stacks: Mapping[int, str | None]) -> None:
        self.given.append((read_ns, stacks))


class _NoChildren:
    """Children that cannot be started."""

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, *_: object, **__: object) -> None:
        self.runs += 1
        raise RequirementError("an earlier python still hangs in the kernel")


def _reader(probe: _Probe | None, children: object = None) -> StackReader:
    log: Any = structlog.get_logger()
    known = cast("Probe | None", probe)
    return StackReader(lambda: known, cast("Children", children or Children()), SystemClock(), log)


@pytest.fixture
def gone() -> int:
    """The number of a process that ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


async def test_what_is_wanted_is_read_and_handed_over(gone: int) -> None:
    """A thread that lives has a stack, one that is gone None; the time is from before."""
    probe = _Probe(os.getpid(), gone)
    reader = _reader(probe)
    before_ns = SystemClock().monotonic_ns()
    await reader.look()
    ((read_ns, stacks),) = probe.given
    assert before_ns <= read_ns <= SystemClock().monotonic_ns()
    assert stacks.keys() == {os.getpid(), gone}
    assert stacks[gone] is None
    assert isinstance(stacks[os.getpid()], str)
    assert (reader.metrics.runs, reader.metrics.read) == (1, 1)


async def test_no_child_runs_while_nothing_is_wanted() -> None:
    """Neither without a probe nor without an old operation."""
    children = _NoChildren()
    await _reader(None, children).look()
    await _reader(_Probe(), children).look()
    assert children.runs == 0


async def test_a_child_that_cannot_run_is_one_line() -> None:
    """Detection goes on without stacks."""
    probe = _Probe(1)
    with capture_logs() as logs:
        await _reader(probe, _NoChildren()).look()
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("stacks_unreadable", "an earlier python still hangs in the kernel")
    ]
    assert probe.given == []
