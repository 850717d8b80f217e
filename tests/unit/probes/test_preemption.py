# SPDX-License-Identifier: MIT
"""Whether the kernel preempts threads that run in it, as uname and debugfs tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.probes.compiler.preemption import preempts


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("#1 SMP Debian 5.10.1", False),
        ("#1 SMP PREEMPT Debian 6.1", True),
        ("#1 SMP PREEMPT_RT Debian 6.1", True),
        ("#1 SMP PREEMPT_LAZY Debian 7.2", True),
    ],
)
def test_what_the_version_leaves_no_doubt_of(version: str, *, expected: bool) -> None:
    """A kernel with voluntary preemption, or with none, has no such word in its version."""
    assert preempts(version, Path("/nonexistent")) == expected


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ("none (voluntary) full \n", False),
        ("(none) voluntary full \n", False),
        ("none voluntary (full) \n", True),
        ("none voluntary full (lazy) \n", True),
        ("full (lazy) \n", True),
        ("", True),
    ],
)
def test_a_kernel_that_can_switch_is_asked(tmp_path: Path, modes: str, *, expected: bool) -> None:
    """The mode in parentheses is the present one; what is not understood may preempt."""
    mode = tmp_path / "preempt"
    mode.write_text(modes)
    assert preempts("#1 SMP PREEMPT_DYNAMIC Debian 6.12", mode) == expected


def test_a_kernel_that_does_not_answer_may_preempt(tmp_path: Path) -> None:
    """Debugfs is not mounted, or locked down."""
    assert preempts("#1 SMP PREEMPT_DYNAMIC Debian 6.12", tmp_path / "nothing")
