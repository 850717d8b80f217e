# SPDX-License-Identifier: MIT
"""The barrier of machines that do not keep their loads in order."""

from __future__ import annotations

import pytest

from aodasync.errors import RequirementError
from aodasync.probes.barrier import memory_barrier
from aodasync.probes.compiler.machines import machine


def test_membarrier_is_called_as_the_kernel_has_it() -> None:
    """The command is known to this kernel, under this machine's number of the call."""
    here = machine()
    assert here is not None
    memory_barrier("riscv64", here.membarrier)()


def test_a_kernel_without_membarrier_is_refused() -> None:
    """An order that cannot be kept is not promised."""
    with pytest.raises(RequirementError, match="CONFIG_MEMBARRIER"):
        memory_barrier("aarch64", 9999)


def test_an_unknown_machine_is_refused() -> None:
    """By its name."""
    with pytest.raises(RequirementError, match="s390x"):
        memory_barrier("s390x")


def test_x86_needs_none() -> None:
    """Its loads stay in order: no call is made, whatever its number were."""
    memory_barrier("x86_64", 9999)()
