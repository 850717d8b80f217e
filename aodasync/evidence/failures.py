# SPDX-License-Identifier: MIT
"""Which requests failed: the one definition, for the report, the status and live figures. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EventArray, Flag, Kind, Outcome
from aodasync.evidence.arrays import is_in
from aodasync.smb.ntstatus import ANY_COMMAND, EXPECTED_IN_COMPOUND, EXPECTED_NOISE

__all__ = ["failed", "silent"]

_REQUEST: Final = int(Kind.REQUEST)
_ANSWERED: Final = int(Outcome.ANSWERED)
_IN_FLIGHT: Final = int(Outcome.IN_FLIGHT)
_COMPOUND: Final = int(Flag.COMPOUND)
_FIRST_WARNING: Final = 0x80000000  # severities of MS-ERREF 2.3: warning and error
_NOISE_FOLLOWING: Final = np.array(sorted(EXPECTED_IN_COMPOUND), np.uint64)
_NOISE_ANY: Final = np.array([s for c, s in EXPECTED_NOISE if c == ANY_COMMAND], np.uint64)
_NOISE_OF: Final = np.array([c << 32 | s for c, s in EXPECTED_NOISE if c != ANY_COMMAND], np.uint64)


def failed(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Requests whose response is an error, expected noise left out; shape (N,).

    In a compound the parts after a CREATE that found no file fail like it (MS-SMB2
    3.3.5.2.7.2), and are as expected.
    """
    bad = np.asarray(rows["status"] >= _FIRST_WARNING, dtype=np.bool_)
    bad &= (rows["kind"] == _REQUEST) & (rows["outcome"] == _ANSWERED)
    index = np.flatnonzero(bad)
    if len(index):
        status = rows["status"][index].astype(np.uint64)
        command = rows["command"][index].astype(np.uint64)
        follows = (rows["flags"][index] & _COMPOUND) > 0
        noise = is_in(status, _NOISE_ANY) | is_in(command << np.uint64(32) | status, _NOISE_OF)
        bad[index[noise | (follows & is_in(status, _NOISE_FOLLOWING))]] = False
    return bad


def silent(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Requests that ended without a response; shape (N,)."""
    ended = (rows["kind"] == _REQUEST) & (rows["outcome"] != _IN_FLIGHT)
    return np.asarray(ended & (rows["outcome"] != _ANSWERED), dtype=np.bool_)
