# SPDX-License-Identifier: MIT
"""``aodasync`` with a probe plan that is wrong on purpose: ``wrong_plan.py HOW [ARGUMENT...]``.

Every program is attached and runs, as if nothing were wrong. HOW is ``nothing``: each
returns at once; or ``half``: each returns at once in every other second, more or
less (2**30 ns).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping

from aodasync.cli.main import main
from aodasync.probes import program_loader
from aodasync.probes.shared import MapNumber

_SECOND_SHIFT = 30
_KTIME_GET_NS = 5  # the helper's number

_patched = program_loader.patched


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


_END = _instruction(0xB7, 0) + _instruction(0x95)  # r0 = 0; exit
_IN_ODD_SECONDS = b"".join(
    (
        _instruction(0xBF, 6, 1),  # r6 = r1: a helper's call spoils r1 to r5
        _instruction(0x85, value=_KTIME_GET_NS),
        _instruction(0xBF, 1, 6),
        _instruction(0x77, 0, value=_SECOND_SHIFT),  # r0 >>= 30
        _instruction(0x57, 0, value=1),  # r0 &= 1
        _instruction(0x55, 0, offset=2),  # if r0, beyond the end
        _END,
    )
)


def _wrong(code: bytes, maps: Mapping[MapNumber, int]) -> bytes:
    return _IN_ODD_SECONDS + _patched(code, maps) if _how == "half" else _END


_how = sys.argv.pop(1)
program_loader.patched = _wrong
sys.exit(main())
