# SPDX-License-Identifier: MIT
"""Where the running kernel has the number and the name of a task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from aodasync.probes.compiler.btf import Btf, Kind
from tests.unit.probes.kernel_types import FAKE_TASK

__all__ = ["running_task", "task_of"]

_HELPER_ASKED = "5.15"


@cache
def running_task() -> Mapping[str, int]:
    """Offsets in its task_struct, by member."""
    kernel = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    (task,) = kernel.find("task_struct", Kind.STRUCT)
    found = {name: kernel.member(task, name) for name in ("tgid", "comm")}
    return {name: member.bit_offset // 8 for name, member in found.items() if member}


def task_of(version: str) -> Mapping[str, int]:
    """Of a client's kernel: as the running one has it, or unknown, so that a helper is asked."""
    return FAKE_TASK if version == _HELPER_ASKED else running_task()
