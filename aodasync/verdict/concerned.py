# SPDX-License-Identifier: MIT
"""Which requests a finding is about, of all that its connections had meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.long_waits import may_wait
from aodasync.detection.trouble_rows import (
    ECHO,
    NEGOTIATE,
    RECONNECTS,
    SESSION_SETUP,
    TREE_CONNECT,
    WAITED_FOR_BY_NONE,
    answered,
    ended_session,
    failed_writes,
)
from aodasync.events import ANSWERED, REQUEST, RETRY, EventArray, pick
from aodasync.evidence.arrays import distinct, is_in
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import STATUS_CODES

__all__ = ["failed_by", "has_session", "in_silence", "shares_of_codes", "waited_for"]

_UNNAMED: Final = "0x"


def waited_for(finding: Finding, rows: EventArray) -> npt.NDArray[np.bool_]:
    """The requests, rows of shape (N,), that something waits for against its will.

    A CHANGE_NOTIFY is pending for as long as a file manager is open, and suffers from nothing;
    nor does what the server may hold back, unless the finding counts such. Nobody waits for
    an ECHO.
    """
    counted = [COMMAND_CODES[name] for name in finding.commands if name in COMMAND_CODES]
    wanted: npt.NDArray[np.bool_] = ~may_wait(rows) | is_in(rows["command"], counted)
    return wanted & ~is_in(rows["command"], WAITED_FOR_BY_NONE)


def failed_by(finding: Finding, rows: EventArray) -> npt.NDArray[np.bool_]:
    """The requests, rows of shape (N,), that failed as the finding's codes say.

    Others fail all day: a file that is not there, the end of a listing. Of trouble with a
    connection, those that were to make it again count as well, and writes.
    """
    failed: npt.NDArray[np.bool_] = _stated(finding, rows) | (rows["outcome"] != ANSWERED)
    if finding.symptom == Symptom.CONNECTION:
        failed |= (rows["command"] <= TREE_CONNECT) & (rows["status"] != 0)
        failed |= failed_writes(rows)
    return failed


def has_session(finding: Finding, rows: EventArray) -> bool:
    """Whether the finding's connections worked when a login was refused there last.

    They had answered then since they were lost last, if ever: it is the login of a mount that
    is tried, over the connection of those that work. Rows have shape (N,), oldest first.
    """
    mine = pick(rows, is_in(rows["connection_id"], finding.connections))
    refused = np.flatnonzero((mine["command"] == SESSION_SETUP) & _stated(finding, mine))
    before = mine[: refused[-1]] if len(refused) else mine[:0]
    lost = is_in(before["kind"], [*RECONNECTS]) | (before["outcome"] == RETRY)
    lost |= ended_session(before) | ((before["kind"] == REQUEST) & (before["command"] == NEGOTIATE))
    works = answered(before) & (before["command"] != ECHO)
    last_ns = before["released_ns"][lost].max(initial=0)
    return bool((before["issued_ns"][works] > last_ns).any())


def shares_of_codes(
    finding: Finding, rows: EventArray, shares: Mapping[tuple[int, int], str]
) -> frozenset[str]:
    """The shares whose requests since its beginning were answered with the finding's codes.

    Rows have shape (N,); ``shares`` are names, ``//server/share``, by session id and tree id.
    """
    found = rows[_stated(finding, rows) & is_in(rows["connection_id"], finding.connections)]
    found = found[found["released_ns"] >= np.uint64(max(0, finding.first_ns))]
    trees = set(zip(found["session_id"].tolist(), found["tree_id"].tolist(), strict=True))
    return frozenset(shares[tree] for tree in trees if tree[1] and tree in shares)


def _stated(finding: Finding, rows: EventArray) -> npt.NDArray[np.bool_]:
    """Which rows bear an NTSTATUS that the finding names."""
    codes = [
        int(code, 16) if code.startswith(_UNNAMED) else STATUS_CODES[code]
        for code in finding.codes
        if code.startswith(_UNNAMED) or code in STATUS_CODES
    ]
    return is_in(rows["status"], codes)


def in_silence(waiting: EventArray, rows: EventArray, now_ns: int) -> npt.NDArray[np.bool_]:
    """Which requests in flight at ``now_ns``, of shape (N,), came after the last answer then.

    That of their connection; ``rows`` may go on. They wait for what the oldest of them waits
    for, however young they are.
    """
    ended = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
    ended &= rows["received_ns"] <= np.uint64(max(0, now_ns))
    silent = np.ones(len(waiting), np.bool_)
    for connection_id in distinct(waiting["connection_id"]):
        own = waiting["connection_id"] == connection_id
        answers = rows["received_ns"][ended & (rows["connection_id"] == connection_id)]
        silent[own] = waiting["issued_ns"][own] > answers.max(initial=0)
    return silent
