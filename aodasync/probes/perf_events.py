# SPDX-License-Identifier: MIT
"""BPF programs on kprobes and tracepoints, through perf_event_open(2).

The descriptor of the event holds the attachment: nothing is written to tracefs, and
nothing is left behind when the process dies. A program runs on every CPU, whichever
one the event names (kernel/trace/trace_kprobe.c: kprobe_perf_func).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from aodasync.errors import BpfError
from aodasync.host.tracefs import tracefs
from aodasync.probes.compiler.machines import machine

__all__ = ["attach_kprobe", "attach_tracepoint"]

_MACHINE: Final = machine()
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_KPROBES: Final = Path("/sys/bus/event_source/devices/kprobe")
_ATTRIBUTE_BYTES: Final = 112  # PERF_ATTR_SIZE_VER5
_TYPE_TRACEPOINT: Final = 2
_CLOSE_ON_EXEC: Final = 8
_EVERY_PROCESS: Final = -1
_SET_BPF: Final = 0x40042408  # _IOW('$', 8, __u32)
_ENABLE: Final = 0x2400  # _IO('$', 0)


def attach_kprobe(program_fd: int, function: str, *, at_return: bool) -> int:
    """Descriptor of a program's attachment to a kernel function. Raises BpfError."""
    what = f"cannot attach to {function}"
    try:
        kind = int((_KPROBES / "type").read_text())
        bit = int((_KPROBES / "format/retprobe").read_text().rpartition(":")[2])
    except (OSError, ValueError) as error:
        raise BpfError(f"{what}: no kprobes (CONFIG_KPROBE_EVENTS)", errno.ENOENT) from error
    name = ctypes.create_string_buffer(function.encode())
    return _attach(program_fd, what, kind, int(at_return) << bit, ctypes.addressof(name))


def attach_tracepoint(program_fd: int, tracepoint: str) -> int:
    """Descriptor of a program's attachment to ``system/name``. Raises BpfError."""
    what = f"cannot attach to {tracepoint}"
    try:
        event_id = int((tracefs() / "events" / tracepoint / "id").read_text())
    except (OSError, ValueError) as error:
        raise BpfError(f"{what}: {error}", errno.ENOENT) from error
    return _attach(program_fd, what, _TYPE_TRACEPOINT, event_id)


def _attach(program_fd: int, what: str, kind: int, config: int, config1: int = 0) -> int:
    if _MACHINE is None or not _MACHINE.perf_event_open:
        raise BpfError(f"{what}: not known on {os.uname().machine}", errno.ENOSYS)
    attributes = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("IIQ", attributes, 0, kind, _ATTRIBUTE_BYTES, config)
    struct.pack_into("Q", attributes, 56, config1)
    buffer = (ctypes.c_char * _ATTRIBUTE_BYTES).from_buffer(attributes)
    fd: int = _LIBC.syscall(
        ctypes.c_long(_MACHINE.perf_event_open),
        buffer,
        ctypes.c_int(_EVERY_PROCESS),
        ctypes.c_int(0),
        ctypes.c_int(-1),
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )
    if fd < 0:
        code = ctypes.get_errno()
        raise BpfError(f"{what}: {os.strerror(code)}", code)
    try:
        fcntl.ioctl(fd, _SET_BPF, program_fd)
        fcntl.ioctl(fd, _ENABLE, 0)
    except OSError as error:
        os.close(fd)
        raise BpfError(f"{what}: {error.strerror}", error.errno or 0) from error
    return fd
