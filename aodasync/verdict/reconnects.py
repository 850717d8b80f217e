# SPDX-License-Identifier: MIT
"""Whether what comes of a lost connection is known yet. Pure.

Why a connection was lost shows in what follows: the server takes the next login, or
refuses it. The client tries at once, then every three seconds.
"""

from __future__ import annotations

import numpy as np

from aodasync.detection.trouble_rows import ECHO, RECONNECTS, SESSION_SETUP
from aodasync.events import ANSWERED, REQUEST, RETRY, EventArray, pick
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.ntstatus import NEVER_AN_ERROR

__all__ = ["is_undecided"]

_RECONNECTS = [int(kind) for kind in RECONNECTS]
_FURTHER_LEGS = list(NEVER_AN_ERROR)


def is_undecided(finding: Finding, rows: EventArray) -> bool:
    """Whether all of the finding's connections were lost, and none has had an answer since.

    An answer to a login counts, whatever it says; one step of a longer login does not.
    ``rows`` are the recorded events, shape (N,), dtype EVENT.
    """
    if finding.symptom != Symptom.CONNECTION or "RECONNECT" not in finding.codes:
        return False
    mine = pick(rows, is_in(rows["connection_id"], np.array(finding.connections, np.uint64)))
    lost = is_in(mine["kind"], _RECONNECTS) | (mine["outcome"] == RETRY)
    answered = (mine["kind"] == REQUEST) & (mine["outcome"] == ANSWERED)
    answered &= (mine["command"] >= SESSION_SETUP) & (mine["command"] != ECHO)
    answered &= ~is_in(mine["status"], _FURTHER_LEGS)
    for connection in finding.connections:
        own = mine["connection_id"] == connection
        lost_ns = mine["released_ns"][own & lost].max(initial=0)
        if (mine["issued_ns"][own & answered] > lost_ns).any():
            return False
    return True
