# SPDX-License-Identifier: MIT
"""What the host must have, as far as it can be known before the SMB client is there.

An agent that waits for the client's module would otherwise wait for days, and end at the
first mount.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from aodasync.errors import BpfError, NotPermittedError, ProbeError
from aodasync.host.capabilities import Capability, raised
from aodasync.host.threads import in_thread
from aodasync.probes.bpf import ProgramType, load_program
from aodasync.probes.preparation import IMPORTED, require_bcc

__all__ = ["LOCKDOWN", "require_host"]

LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")

_PROBE_READ_KERNEL: Final = 113
# A program that reads eight bytes of the kernel's memory onto its stack, as all of ours do.
_READS_MEMORY: Final = b"".join(
    struct.pack("<BBhi", code, registers, 0, value)
    for code, registers, value in (
        (0xBF, 0xA1, 0),  # r1 = r10
        (0x07, 0x01, -8),  # r1 += -8
        (0xB7, 0x02, 8),  # r2 = 8
        (0xB7, 0x03, 0),  # r3 = 0
        (0x85, 0x00, _PROBE_READ_KERNEL),
        (0xB7, 0x00, 0),  # r0 = 0
        (0x95, 0x00, 0),
    )
)


async def require_host(python: str | None = None) -> None:
    """Raise what ``open_probe`` would raise of this host once the client is there.

    Raises:
        NotPermittedError: the caller is not root.
        RequirementError: no Python has a bcc that can be imported, nor was byte code imported.
        ProbeError: the kernel lets nobody load a BPF program that reads its memory.
    """
    if os.geteuid() != 0:
        raise NotPermittedError("only root may attach probes", hint="run it with sudo")
    if not any(IMPORTED.glob("*.json")):
        await require_bcc(python)
    await in_thread(_try_to_load)


def _try_to_load() -> None:
    try:
        with raised(Capability.SYS_ADMIN):
            fd = load_program(ProgramType.RAW_TRACEPOINT, _READS_MEMORY, "aodasync_trial")
        os.close(fd)
    except BpfError as error:
        raise ProbeError(error.what, hint=lockdown_hint() or error.hint) from error


def lockdown_hint(lockdown: Path = LOCKDOWN) -> str:
    """What to do where the kernel keeps its memory from root; empty where it does not."""
    try:
        if "[confidentiality]" not in lockdown.read_text():
            return ""
    except OSError:
        return ""
    return "boot with lockdown=integrity: confidentiality keeps BPF from the kernel's memory"
