# SPDX-License-Identifier: MIT
"""Type information as where a share is mounted: the running kernel's, and a client's on it."""

from __future__ import annotations

import struct
from pathlib import Path

from aodasync.probes.compiler.btf import Btf, Kind
from tests.kernel.running_task import running_task
from tests.unit.probes.btf_writer import BtfWriter
from tests.unit.probes.kernel_types import kernel_blobs

__all__ = ["KERNEL", "write_types"]

KERNEL = "6.12"
"""Whose client is recorded there."""

_VMLINUX = Path("/sys/kernel/btf/vmlinux")
_LEAST_BYTES = 6_000_000
_HEADER = struct.Struct("=HBBIIIII")
_MEMBERS = 3  # of a struct that fills up: 48 bytes, a kernel's type has 44 on average
_FIRST_NAME = 1


def write_types(directory: Path) -> Path:
    """Make ``directory`` like /sys/kernel/btf: vmlinux, 6 MB at least, and split BTF of cifs on it.

    A small kernel's has as many types more as it takes.
    """
    data = _padded(_VMLINUX.read_bytes())
    running = Btf(data)
    # The first string of any BTF is empty, and the writer adds it.
    base = BtfWriter(next_id=running.end_id, strings=bytearray(running.end_string - 1))
    client, _ = kernel_blobs(KERNEL, built_in=True, onto=BtfWriter(base), task=running_task())
    (directory / "vmlinux").write_bytes(data)
    (directory / "cifs").write_bytes(client)
    return directory


def _padded(data: bytes) -> bytes:
    """The same BTF, with structs added behind the last type."""
    *fixed, type_at, type_bytes, string_at, string_bytes = _HEADER.unpack_from(data)
    header_bytes = fixed[-1]
    member = (_FIRST_NAME, 1, 0)
    words = (_FIRST_NAME, Kind.STRUCT << 24 | _MEMBERS, 4, *member * _MEMBERS)
    added = struct.pack(f"={len(words)}I", *words)
    added *= max(0, _LEAST_BYTES - len(data) + len(added) - 1) // len(added)
    end = header_bytes + type_at + type_bytes
    strings = header_bytes + string_at
    header = _HEADER.pack(
        *fixed, type_at, type_bytes + len(added), string_at + len(added), string_bytes
    )
    types = data[_HEADER.size : end] + added + data[end:strings]
    return header + types + data[strings:]
