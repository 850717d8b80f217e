# SPDX-License-Identifier: MIT
"""What the requests without an answer say, beside those that were answered meanwhile. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.long_waits import announced_opens
from aodasync.detection.trouble_rows import TREE_CONNECT
from aodasync.events import ANSWERED, NS_PER_MS, REQUEST, EventArray, Flag, latency_ns, pick
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import LEAST_ERROR

__all__ = [
    "LARGE_ANSWERS",
    "answered_lately",
    "answered_since",
    "behind_large",
    "is_about_opens",
    "number_announced",
    "oldest_ms",
    "pending_ms",
    "still_waiting",
    "sufferer",
]

LARGE_ANSWERS: Final = [
    COMMAND_CODES[name] for name in ("SMB2_READ", "SMB2_QUERY_DIRECTORY", "SMB2_IOCTL")
]
_ANSWERED_BY_NS: Final = 100_000_000
_LATELY_NS: Final = 1_000_000_000


def behind_large(unanswered: EventArray, rows: EventArray) -> bool:
    """Whether all that is missing may wait for one large answer, which got lost.

    It is the oldest, and whatever was answered later proves that nothing waits behind it; of
    requests that a reconnect cut off, until then.
    """
    if len(unanswered) == 0:
        return False
    at = int(np.argmin(unanswered["issued_ns"]))
    first, others = unanswered[at], np.delete(unanswered, at)
    later = rows["received_ns"] > first["issued_ns"] + np.uint64(_ANSWERED_BY_NS)
    later &= rows["connection_id"] == first["connection_id"]
    if first["released_ns"]:
        later &= rows["received_ns"] <= first["released_ns"]
    small = others[~is_in(others["command"], LARGE_ANSWERS)]
    return bool(
        first["command"] in LARGE_ANSWERS
        and (others["connection_id"] == first["connection_id"]).all()
        and (small["issued_ns"] > first["issued_ns"]).all()
        and not later.any()
    )


def answered_since(unanswered: EventArray, rows: EventArray, now_ns: int) -> int:
    """How many requests were answered though issued after all of those that wait.

    Up to ``now_ns``, and on the same connections: what comes later may be the end of it.
    """
    if len(unanswered) == 0:
        return 0
    later = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
    later &= (rows["received_ns"] != 0) & (rows["received_ns"] <= np.uint64(max(0, now_ns)))
    later &= rows["issued_ns"] > unanswered["issued_ns"].max()
    later &= is_in(rows["connection_id"], unanswered["connection_id"])
    return int(np.count_nonzero(later))


def answered_lately(unanswered: EventArray, rows: EventArray, now_ns: int) -> tuple[int, int]:
    """How many requests were answered in the second before ``now_ns``.

    On the same connections, and on others of the server.
    """
    since_ns, until_ns = max(0, now_ns - _LATELY_NS), max(0, now_ns)
    lately = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
    lately &= (rows["received_ns"] > np.uint64(since_ns)) & (rows["received_ns"] <= until_ns)
    own = int(is_in(rows["connection_id"][lately], unanswered["connection_id"]).sum())
    return own, int(np.count_nonzero(lately)) - own


def is_about_opens(finding: Finding) -> bool:
    """Whether it counts what the server announced as pending, for another client."""
    return finding.symptom == Symptom.WAITING and "announced_opens" in finding.figures


def pending_ms(
    finding: Finding, in_flight: EventArray, rows: EventArray, now_ns: int
) -> npt.NDArray[np.float64]:
    """For how long each open waits that the server announced, in ms, shape (N,).

    Those in flight, and where the finding is about such, those that ended since it began
    and by ``now_ns``: at the end of an episode all have.
    """
    opens = in_flight[announced_opens(in_flight) & (in_flight["received_ns"] == 0)]
    ages_ns = now_ns - opens["issued_ns"].astype(np.int64)
    if is_about_opens(finding):
        waited_ns = latency_ns(rows).astype(np.int64)
        ended = announced_opens(rows) & (waited_ns >= round(finding.threshold_ms * NS_PER_MS))
        ended &= rows["released_ns"] >= np.uint64(max(0, finding.first_ns))
        ended &= rows["released_ns"] <= np.uint64(max(0, now_ns))
        ages_ns = np.concatenate([ages_ns, waited_ns[ended]])
    ages_ms: npt.NDArray[np.float64] = ages_ns / NS_PER_MS
    return ages_ms


def number_announced(unanswered: EventArray) -> int:
    """How many of them the server has announced as pending (STATUS_PENDING)."""
    return int(np.count_nonzero(unanswered["flags"] & int(Flag.ASYNC_RESPONSE)))


def oldest_ms(unanswered: EventArray, now_ns: int) -> float:
    """For how long the oldest of them waits by ``now_ns``; 0 where there is none."""
    ages_ns = now_ns - unanswered["issued_ns"].astype(np.int64)
    return float(ages_ns.max(initial=0)) / NS_PER_MS


def still_waiting(finding: Finding, unanswered: EventArray, cut_off: EventArray) -> EventArray:
    """Those of ``unanswered`` that do not wait for a connection that is lost already.

    A reconnect is known some moments before the requests that it cuts off have ended.
    """
    if finding.symptom != Symptom.CONNECTION or len(cut_off) == 0:
        return unanswered
    ended = set(zip(cut_off["connection_id"].tolist(), cut_off["message_id"].tolist(), strict=True))
    ids = zip(unanswered["connection_id"].tolist(), unanswered["message_id"].tolist(), strict=True)
    waits: EventArray = unanswered[np.array([each not in ended for each in ids], np.bool_)]
    return waits


def sufferer(finding: Finding, unanswered: EventArray, recent: EventArray) -> int | None:
    """The connection that suffers most: of the oldest request, else of most slow ones.

    Of trouble with connections, it is the one that most of the trouble is on, if any is: the
    others of the server may be well, and have more requests.
    """
    lost = (recent["kind"] != REQUEST) | (recent["outcome"] != ANSWERED)
    lost |= (recent["command"] <= TREE_CONNECT) & (recent["status"] >= LEAST_ERROR)
    on_one = lost & (recent["connection_id"] != 0)
    if finding.symptom == Symptom.CONNECTION and on_one.any():
        slow = pick(recent, on_one)
    elif len(unanswered):
        return int(unanswered["connection_id"][np.argmin(unanswered["issued_ns"])])
    else:
        least_ns = max(1, round(finding.threshold_ms * NS_PER_MS))
        slow = pick(recent, latency_ns(recent) >= least_ns)
    most = Counter(slow["connection_id"].tolist()).most_common(1)
    return most[0][0] if most else next(iter(finding.connections), None)
