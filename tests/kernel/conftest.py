# SPDX-License-Identifier: MIT
"""Real BPF on the running kernel: root and the distribution's bcc are needed, and never skipped."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aodasync.host.memory_tuning import SWITCH_SEC
from aodasync.probes.preparation import Prepared, prepare
from tests.kernel.rig import KPROBE_MACHINE, Rig
from tests.kernel.running_task import task_of
from tests.unit.probes.fake_tracefs import write_tracefs
from tests.unit.probes.kernel_types import write_kernel

RING_BYTES = 1 << 20

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def anyio_backend() -> str:
    """The agent runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.fail("the kernel tests load BPF programs: run them as root")


@pytest.fixture
def as_the_agent() -> Iterator[None]:
    """Threads give way to the loop as they do in the agent."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SEC)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def adopting() -> Iterator[None]:
    """Whoever loses its parent becomes this process's child, so that nobody gets lost."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Prepared]:
    """Our programs, compiled by the real child for the SMB client of a kernel."""
    made: dict[tuple[str, str], Prepared] = {}

    def make(version: str, method: str = "fentry") -> Prepared:
        if (version, method) not in made:
            btf: Path = write_kernel(tmp_path_factory.mktemp("btf"), version, task=task_of(version))
            traces = write_tracefs(tmp_path_factory.mktemp("tracefs"))
            made[version, method] = asyncio.run(
                prepare(
                    cache_dir=None, btf=btf, method=method, machine=KPROBE_MACHINE, traces=traces
                )
            )
        return made[version, method]

    return make


@pytest.fixture
def make_rig(prepared: Callable[..., Prepared]) -> Iterator[Callable[..., Rig]]:
    """Makes rigs for the types of a kernel, and closes them."""
    rigs: list[Rig] = []

    def make(version: str = "6.12", ring_bytes: int = RING_BYTES, method: str = "fentry") -> Rig:
        rigs.append(Rig(prepared(version, method), version, ring_bytes, method))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A rig with the types of 6.12."""
    return make_rig()
