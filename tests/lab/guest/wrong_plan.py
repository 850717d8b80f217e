# SPDX-License-Identifier: MIT
"""``aodasync`` with a probe plan that is wrong on purpose: ``wrong_plan.py HOW [ARGUMENT...]``.

Every program is attached and runs, as if nothing were wrong. HOW is ``late``: each
returns at once for the first 45 s; or ``half``: each returns at once in every other
second, more or less (2**30 ns).
"""

from __future__ import annotations

import functools
import struct
import sys
import time
from collections.abc import Mapping

from aodasync.cli import main
from aodasync.probes import loader
from aodasync.probes.shared import MapNumber

_LATE_SEC = 45
_SECOND_SHIFT = 30
_KTIME_GET_NS = 5  # the helper's number

_patched = loader.patched


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


@functools.cache
def _asleep(how: str) -> bytes:
    """Instructions that end the program in its dark time, and else go on with ctx in r1."""
    context = _instruction(0xBF, 6, 1)  # r6 = r1: a helper's call spoils r1 to r5
    now = _instruction(0x85, value=_KTIME_GET_NS)
    restored = _instruction(0xBF, 1, 6)
    end = _instruction(0xB7, 0) + _instruction(0x95)  # r0 = 0; exit
    if how == "half":
        odd = _instruction(0x77, 0, value=_SECOND_SHIFT) + _instruction(0x57, 0, value=1)
        awake = odd + _instruction(0x55, 0, offset=2)  # if r0 != 0, beyond the end
    else:
        from_ns = time.monotonic_ns() + _LATE_SEC * 10**9
        low, high = struct.unpack("<ii", struct.pack("<q", from_ns))
        limit = _instruction(0x18, 2, value=low) + _instruction(0, value=high)
        awake = limit + _instruction(0x2D, 0, 2, offset=2)  # if r0 > r2
    return context + now + restored + awake + end


def _wrong(code: bytes, maps: Mapping[MapNumber, int]) -> bytes:
    return _asleep(_how) + _patched(code, maps)


_how = sys.argv.pop(1)
loader.patched = _wrong
sys.exit(main())
