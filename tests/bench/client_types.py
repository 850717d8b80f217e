# SPDX-License-Identifier: MIT
"""Type information as where a share is mounted: the running kernel's, and a client's on it."""

from __future__ import annotations

from pathlib import Path

from aodasync.probes.compiler.btf import Btf
from tests.unit.probes.btf_writer import BtfWriter
from tests.unit.probes.kernel_types import kernel_blobs

__all__ = ["KERNEL", "write_types"]

KERNEL = "6.12"
"""Whose client is recorded there."""

_VMLINUX = Path("/sys/kernel/btf/vmlinux")


def write_types(directory: Path) -> Path:
    """Make ``directory`` like /sys/kernel/btf: vmlinux as it is, and split BTF of cifs on it."""
    data = _VMLINUX.read_bytes()
    running = Btf(data)
    # The first string of any BTF is empty, and the writer adds it.
    base = BtfWriter(next_id=running.end_id, strings=bytearray(running.end_string - 1))
    client, _ = kernel_blobs(KERNEL, built_in=True, onto=BtfWriter(base))
    (directory / "vmlinux").write_bytes(data)
    (directory / "cifs").write_bytes(client)
    return directory
