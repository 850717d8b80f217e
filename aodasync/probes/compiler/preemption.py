# SPDX-License-Identifier: MIT
"""Whether the kernel takes a processor from a thread that runs in it.

Only then may it skip a program of ours: because another thread, on the same processor, is in
the middle of it (``__bpf_prog_enter_recur``).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["preempts"]

_NEVER = frozenset({"(none)", "(voluntary)"})


def preempts(version: str, mode: Path) -> bool:
    """By the ``version`` of uname(2), and if it was left open there, by debugfs.

    ``mode`` is ``sched/preempt``, as in ``none (voluntary) full`` (sched_dynamic_show); it
    changes when root writes there. Where it cannot be read, the kernel may.
    """
    if "PREEMPT_DYNAMIC" not in version:
        return "PREEMPT" in version
    try:
        words = mode.read_text().split()
    except OSError:
        return True
    return _NEVER.isdisjoint(words)
