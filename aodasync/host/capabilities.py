# SPDX-License-Identifier: MIT
"""Capabilities (capabilities(7)): what the agent gives up, and what it lends its children.

Root that executes a program has whatever the bounding set leaves it, but never more than
the process had before (no_new_privs). So there are three circles:

1. :data:`KEPT` is all that the agent and its children may ever have. The rest is given up
   for good before anything else is done.
2. :data:`IN_EFFECT` is what the agent itself uses all the time. :func:`raised` adds what
   attaching needs, while it attaches.
3. A child gets what its caller names, mostly nothing (:mod:`aodasync.process.launch`).

A thread has capabilities of its own and inherits those of its creator.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Collection, Iterator
from enum import IntEnum
from typing import Final

__all__ = ["IN_EFFECT", "KEPT", "Capability", "as_group", "give_up", "mask", "raised"]


class Capability(IntEnum):
    """Those that anything of the agent needs, by number (linux/capability.h)."""

    DAC_READ_SEARCH = 2
    SETGID = 6
    SETPCAP = 8
    NET_RAW = 13
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYSLOG = 34
    BPF = 39


KEPT: Final = frozenset(Capability)
IN_EFFECT: Final = frozenset({Capability.DAC_READ_SEARCH, Capability.BPF})

_VERSION_3: Final = 0x20080522
_HEADER: Final = struct.pack("=Ii", _VERSION_3, 0)
_SETS: Final = struct.Struct("=6I")  # effective, permitted, inheritable; of 0 to 31, 32 to 63
_MOST: Final = 64
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def mask(capabilities: Collection[Capability]) -> int:
    """As /proc/PID/status shows them."""
    return sum(1 << number for number in set(capabilities))


def give_up() -> None:
    """Keep :data:`KEPT` alone, with :data:`IN_EFFECT` in effect. Before the first other thread.

    Raises:
        OSError: the kernel refuses it.
    """
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(_MOST):
        if number not in KEPT:
            # Fails without SETPCAP, as under the unit; then the bounding set is the unit's.
            _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _, permitted = _get()
    permitted &= mask(KEPT)
    _set(permitted & mask(IN_EFFECT), permitted)


@contextlib.contextmanager
def raised(*capabilities: Capability) -> Iterator[None]:
    """Have these in effect in this thread, as far as they are permitted."""
    effective, permitted = _get()
    _set(effective | (permitted & mask(capabilities)), permitted)
    try:
        yield
    finally:
        _set(effective, permitted)


@contextlib.contextmanager
def as_group(gid: int) -> Iterator[None]:
    """Count as a member of this group, in this thread: its owner may give a file to it.

    With SETGID, which tcpdump wants anyway, in place of CHOWN, which gives any file to anybody.
    """
    with raised(Capability.SETGID):
        before = _LIBC.setfsgid(gid)
    try:
        yield
    finally:
        with raised(Capability.SETGID):
            _LIBC.setfsgid(before)


def _get() -> tuple[int, int]:
    """Effective and permitted capabilities of this thread."""
    sets = ctypes.create_string_buffer(_SETS.size)
    _call("capget", sets)
    low_effective, low_permitted, _, effective, permitted, _ = _SETS.unpack(sets.raw)
    return effective << 32 | low_effective, permitted << 32 | low_permitted


def _set(effective: int, permitted: int) -> None:
    low = (1 << 32) - 1
    sets = effective & low, permitted & low, 0, effective >> 32, permitted >> 32, 0
    _call("capset", ctypes.create_string_buffer(_SETS.pack(*sets), _SETS.size))


def _call(name: str, sets: ctypes.Array[ctypes.c_char]) -> None:
    if getattr(_LIBC, name)(ctypes.create_string_buffer(_HEADER, len(_HEADER)), sets):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
