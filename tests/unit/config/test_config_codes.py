# SPDX-License-Identifier: MIT
"""The tables of names."""

from __future__ import annotations

import errno

import pytest

from aodasync.config.names import CODE_NAMES, ERRNO_NAMES
from aodasync.smb.errnos import ERRNO_ALIASES, ERRNOS
from aodasync.smb.ntstatus import STATUS_CODES, status_errno


def test_the_table_has_aodv2s_130_names() -> None:
    """One name a number, in their order."""
    assert len(ERRNOS) == 130
    assert list(ERRNOS.values()) == sorted(set(ERRNOS.values()))
    assert tuple(sorted(ERRNOS)) == ERRNO_NAMES


@pytest.mark.parametrize("name", [*ERRNOS, *ERRNO_ALIASES])
def test_numbers_are_linuxs(name: str) -> None:
    """As the interpreter has them, wherever it knows the name."""
    number = ERRNOS[ERRNO_ALIASES.get(name, name)]
    assert getattr(errno, name, number) == number


@pytest.mark.parametrize("name", ["EHWPOISON", "ENOTSUPP", "EUNKNOWN"])
def test_other_names_are_no_codes(name: str) -> None:
    """EHWPOISON is not among AODv2's, ENOTSUPP is none of user space's."""
    assert name not in CODE_NAMES


def test_every_status_that_is_an_error_can_be_named() -> None:
    """Under all of its names, and means one."""
    for name, code in STATUS_CODES.items():
        assert (name in CODE_NAMES) == bool(status_errno(code))
    assert set(CODE_NAMES.values()) <= set(CODE_NAMES)


def test_every_errno_of_a_status_can_be_tracked() -> None:
    """What the kernel makes of a status is in the table."""
    errnos = {status_errno(code) for code in STATUS_CODES.values()} - {""}
    assert errnos <= ERRNOS.keys()
