# SPDX-License-Identifier: MIT
"""bpf(2), as much of it as the agent needs: programs and BTF objects (see also maps).

Attribute layouts are those of include/uapi/linux/bpf.h. Every call raises
:class:`~aodasync.errors.BpfError` with the errno; descriptors are close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from aodasync.errors import BpfError
from aodasync.probes.compiler.machines import machine

__all__ = [
    "AttachType",
    "Command",
    "ProgramType",
    "address",
    "attach",
    "btf_object",
    "call",
    "load_program",
    "recursion_misses",
    "run",
]

_MACHINE: Final = machine()
_SYSCALL: Final = ctypes.CDLL(None, use_errno=True).syscall
_SYSCALL.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_SYSCALL.restype = ctypes.c_long
_LICENSE: Final = ctypes.create_string_buffer(b"Dual MIT/GPL")
_LOG_BYTES: Final = 256 * 1024
_LOG_LINES: Final = 6
_INFO_BYTES: Final = 224  # of struct bpf_prog_info, up to recursion_misses (5.12) and beyond
_RECURSION_MISSES_AT: Final = 208
_BTF_INFO: Final = struct.Struct("QIIQII")


class Command(IntEnum):
    """enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    BTF_GET_FD_BY_ID = 19
    BTF_GET_NEXT_ID = 23
    MAP_LOOKUP_BATCH = 24
    ENABLE_STATS = 32


class ProgramType(IntEnum):
    """enum bpf_prog_type."""

    SOCKET_FILTER = 1
    KPROBE = 2
    TRACEPOINT = 5
    RAW_TRACEPOINT = 17
    TRACING = 26


class AttachType(IntEnum):
    """enum bpf_attach_type."""

    NONE = 0
    TRACE_RAW_TP = 23
    TRACE_FENTRY = 24
    TRACE_FEXIT = 25


def call(command: Command, attributes: bytes | bytearray, what: str) -> int:
    """One bpf(2) call; outputs are written into ``attributes`` when it is a bytearray."""
    if _MACHINE is None:
        raise BpfError(f"bpf(2) is not known on {os.uname().machine}", errno.ENOSYS)
    writable = attributes if isinstance(attributes, bytearray) else bytearray(attributes)
    at = ctypes.addressof(ctypes.c_char.from_buffer(writable))
    result: int = _SYSCALL(_MACHINE.bpf, command, at, len(writable))
    if result < 0:
        code = ctypes.get_errno()
        hint = "run as root; in a container, with CAP_SYS_ADMIN" if code == errno.EPERM else ""
        raise BpfError(f"{what}: {os.strerror(code)}", code, hint=hint)
    return result


def address(buffer: Any) -> int:
    """Address of a ctypes buffer, which the caller keeps alive."""
    return ctypes.addressof(buffer)


def load_program(
    kind: ProgramType,
    code: bytes,
    name: str,
    *,
    attach_type: AttachType = AttachType.NONE,
    btf_id: int = 0,
    btf_fd: int = 0,
) -> int:
    """Descriptor of a loaded program; a refusal carries the last lines of the verifier's log."""
    content = ctypes.create_string_buffer(code, len(code))

    def load(log: Any) -> int:
        attributes = bytearray(116)
        struct.pack_into(
            "IIQQIIQ",
            attributes,
            0,
            kind,
            len(code) // 8,
            address(content),
            address(_LICENSE),
            1 if log else 0,
            _LOG_BYTES if log else 0,
            address(log) if log else 0,
        )
        struct.pack_into("16s", attributes, 48, name.encode()[:15])
        struct.pack_into("I", attributes, 68, attach_type)
        struct.pack_into("II", attributes, 108, btf_id, btf_fd)
        return call(Command.PROG_LOAD, attributes, f"the kernel refused {name}")

    try:
        return load(None)
    except BpfError:
        # Refused without a log: ask again for the reason.
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return load(log)
        except BpfError as error:
            lines = log.value.decode(errors="replace").splitlines()[-_LOG_LINES:]
            what = "; ".join([error.what, *lines])
            raise BpfError(what, error.errno, hint=error.hint) from None


def attach(program_fd: int, what: str, tracepoint: str = "") -> int:
    """Attach a tracing program where it was loaded for, or a raw tracepoint program by name.

    The descriptor returned holds the attachment.
    """
    name = ctypes.create_string_buffer(tracepoint.encode())
    attributes = struct.pack("QI", address(name) if tracepoint else 0, program_fd)
    return call(Command.RAW_TRACEPOINT_OPEN, attributes, f"cannot attach to {what}")


def btf_object(name: str) -> int:
    """Descriptor of the kernel's BTF object ``name`` (``vmlinux`` or a module)."""
    btf_id = 0
    while True:
        attributes = bytearray(struct.pack("III", btf_id, 0, 0))
        try:
            call(Command.BTF_GET_NEXT_ID, attributes, "cannot list BTF objects")
        except BpfError as error:
            if error.errno == errno.ENOENT:
                raise BpfError(f"the kernel has no BTF of {name}", errno.ENOENT) from None
            raise
        btf_id = struct.unpack_from("I", attributes, 4)[0]
        try:
            fd = call(
                Command.BTF_GET_FD_BY_ID,
                struct.pack("III", btf_id, 0, 0),
                f"cannot open BTF object {btf_id}",
            )
        except BpfError as error:
            if error.errno == errno.ENOENT:  # gone since it was listed
                continue
            raise
        if _btf_name(fd) == name:
            return fd
        os.close(fd)


def _info(fd: int, info: ctypes.Array[ctypes.c_char], what: str) -> None:
    attributes = struct.pack("IIQ", fd, len(info), address(info))
    call(Command.OBJ_GET_INFO_BY_FD, attributes, f"cannot query {what}")


def _btf_name(fd: int) -> str | None:
    """Name of a BTF object of the kernel's own; None for one that a program brought."""
    name = ctypes.create_string_buffer(64)
    fields = _BTF_INFO.pack(0, 0, 0, address(name), len(name), 0)
    info = ctypes.create_string_buffer(fields, len(fields))
    _info(fd, info, "a BTF object")
    is_kernels = _BTF_INFO.unpack(info.raw)[5]
    return name.value.decode() if is_kernels else None


def run(program_fd: int, arguments: Sequence[int]) -> int:
    """Run a raw tracepoint program once on these arguments; returns what it returns."""
    words = struct.pack(f"={len(arguments)}Q", *arguments)
    context = ctypes.create_string_buffer(words, len(words))
    attributes = bytearray(76)
    struct.pack_into("I", attributes, 0, program_fd)
    struct.pack_into("I", attributes, 40, len(words))
    struct.pack_into("Q", attributes, 48, address(context))
    call(Command.PROG_TEST_RUN, attributes, "cannot run a program")
    return int(struct.unpack_from("I", attributes, 4)[0])


def recursion_misses(program_fd: int) -> int:
    """Times the kernel skipped a program because it was already running on that CPU."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    _info(program_fd, info, "a program")
    return int(struct.unpack_from("Q", info, _RECURSION_MISSES_AT)[0])
