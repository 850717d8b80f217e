# SPDX-License-Identifier: MIT
"""The NTSTATUS table against facts known from elsewhere."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from aodasync.smb import ntstatus
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import (
    ANY_COMMAND,
    EXPECTED_NOISE,
    STATUS_CODES,
    status_errno,
    status_name,
)

TABLE = Path(ntstatus.__file__).with_suffix(".tsv")


@pytest.mark.parametrize(
    ("code", "name", "errno_name"),
    [
        (0x00000000, "STATUS_SUCCESS", ""),
        (0x00000103, "STATUS_PENDING", "EIO"),
        (0x80000005, "STATUS_BUFFER_OVERFLOW", "E2BIG"),
        (0xC000000D, "STATUS_INVALID_PARAMETER", "EINVAL"),
        (0xC0000022, "STATUS_ACCESS_DENIED", "EACCES"),
        (0xC0000034, "STATUS_OBJECT_NAME_NOT_FOUND", "ENOENT"),
        (0xC0000043, "STATUS_SHARING_VIOLATION", "EBUSY"),
        (0xC000007F, "STATUS_DISK_FULL", "ENOSPC"),
        (0xC00000BB, "STATUS_NOT_SUPPORTED", "ENOTSUP"),
        (0xC000CF01, "STATUS_CLOUD_FILE_PROVIDER_NOT_RUNNING", "EIO"),
        (0xC000CF11, "STATUS_CLOUD_FILE_NETWORK_UNAVAILABLE", "EIO"),
    ],
)
def test_well_known_values(code: int, name: str, errno_name: str) -> None:
    """Values every SMB engineer knows carry their name and the kernel's errno, both ways."""
    assert status_name(code) == name
    assert STATUS_CODES[name] == code
    assert status_errno(code) == errno_name


def test_unknown_value_is_hexadecimal_and_eio() -> None:
    """A value in no table is shown in eight hex digits and maps to EIO, as in the kernel."""
    assert status_name(0xC0FF1234) == "0xC0FF1234"
    assert status_name(0x00000999) == "0x00000999"
    assert status_errno(0xC0FF1234) == "EIO"


def test_aliases_resolve_to_the_canonical_value() -> None:
    """Where a value has two names both are accepted, and one is shown."""
    assert STATUS_CODES["STATUS_WAIT_0"] == 0
    code = STATUS_CODES["STATUS_REPARSE_NOT_HANDLED"]
    assert status_name(code) == "STATUS_IO_REPARSE_TAG_NOT_HANDLED"
    assert status_errno(code) == "ENOTSUP"


def test_every_name_round_trips() -> None:
    """Of 1,772 values every one has a name that leads back to it."""
    values = set(STATUS_CODES.values())
    assert len(values) == 1772
    assert all(STATUS_CODES[status_name(value)] == value for value in values)
    assert all(0 <= value <= 0xFFFFFFFF for value in values)


def test_every_errno_is_one_of_linux_in_aodv2_spelling() -> None:
    """Only errno names that a configuration can track are ever returned."""
    names = {status_errno(value) for value in STATUS_CODES.values()} - {""}
    assert all(hasattr(errno, name) for name in names)
    assert not names & {"EOPNOTSUPP", "EWOULDBLOCK", "EDEADLK"}


def test_only_success_is_no_error() -> None:
    """STATUS_SUCCESS alone has no errno; warnings and informational values have one."""
    assert {value for value in STATUS_CODES.values() if not status_errno(value)} == {0}


def test_table_is_sorted_and_unique() -> None:
    """The data file stays sorted by value without repeats, so that changes to it are readable."""
    rows = [line for line in TABLE.read_text("ascii").splitlines() if not line.startswith("#")]
    values = [int(row.split("\t")[0], 16) for row in rows]
    assert values == sorted(set(values))


def test_codes_cannot_be_changed() -> None:
    """The shared table is read-only."""
    with pytest.raises(TypeError):
        STATUS_CODES["STATUS_MADE_UP"] = 1  # type: ignore[index]


def test_expected_noise_is_bound_to_its_command() -> None:
    """A missing name is noise on CREATE alone; an interim response on any command."""
    missing = STATUS_CODES["STATUS_OBJECT_NAME_NOT_FOUND"]
    assert (COMMAND_CODES["SMB2_CREATE"], missing) in EXPECTED_NOISE
    assert (COMMAND_CODES["SMB2_SET_INFO"], missing) not in EXPECTED_NOISE
    assert (ANY_COMMAND, missing) not in EXPECTED_NOISE
    assert (ANY_COMMAND, STATUS_CODES["STATUS_PENDING"]) in EXPECTED_NOISE


def test_reading_the_table_is_cheap() -> None:
    """The whole table is read in a few milliseconds at worst (best of five)."""

    def read_once() -> float:
        start = time.perf_counter()
        ntstatus._read(TABLE)
        return time.perf_counter() - start

    assert min(read_once() for _ in range(5)) < 0.02
