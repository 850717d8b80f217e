# SPDX-License-Identifier: MIT
"""What the ways to look at the client recorded of one workload, held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from product import Rows, check

from aodasync.events import Flag, Kind, Outcome
from aodasync.probes.request_probe import RequestProbe
from aodasync.smb.commands import COMMAND_CODES, command_name
from aodasync.smb.ntstatus import status_name

__all__ = ["ECHO", "Probes", "compare_kprobes", "compare_tracepoints", "requests", "skips"]

ECHO = COMMAND_CODES["SMB2_ECHO"]
MAX_COMPOUND = 5
WHO = ("command", "message_id", "tree_id", "pid", "tgid", "comm", "status")
ALL = (*WHO, "session_id", "connection_id", "outcome", "mid_state", "mid_flags", "flags", "kind")

Probes = Mapping[str, RequestProbe]


def skips(probe: RequestProbe) -> int:
    """Runs of its programs that the kernel skipped: each explains one row at most."""
    counts = {**probe.losses(), **probe.figures()}
    return sum(count for name, count in counts.items() if name.startswith("skipped_"))


def requests(rows: Rows) -> Rows:
    """Without trouble events."""
    chosen: Rows = rows[rows["kind"] == Kind.REQUEST]
    return chosen


def identities(rows: Rows, fields: tuple[str, ...]) -> Counter[Any]:
    """Rows as tuples of those fields."""
    return Counter(tuple(row) for row in rows[list(fields)].tolist())


def described(identity: tuple[Any, ...]) -> str:
    """For lists of what differs; the fields begin as WHO."""
    command, message_id, _, pid, _, comm, status, *rest = identity
    name = status_name(status)
    return f"{command_name(command)} mid {message_id} of {comm.decode()} {pid}: {name} {rest}"


def compare_kprobes(probes: Probes, rows: dict[str, Rows]) -> None:
    """Row by row, all that does not depend on the moment at which a program ran."""
    fentry, kprobe = identities(rows["fentry"], ALL), identities(rows["kprobe"], ALL)
    explained = skips(probes["fentry"]) + skips(probes["kprobe"])
    only = {"fentry": fentry - kprobe, "kprobe": kprobe - fentry}
    for method, identity in ((m, i) for m in only for i in list(only[m].elements())[:20]):
        print(f"    {method} alone: {described(identity)}", flush=True)
    differing = max(each.total() for each in only.values())
    check(
        "kprobes recorded what fentry did, row by row, less what the kernel skipped",
        differing <= explained,
        f"{kprobe.total()} and {fentry.total()}, {differing} differ, {explained} skipped",
    )
    if differing == 0:
        x, y = (np.sort(rows[m], order=["connection_id", "issued_ns"]) for m in only)
        for name in "issued_ns", "received_ns", "released_ns":
            us = np.abs(x[name].astype(np.int64) - y[name].astype(np.int64)) / 1e3
            print(f"{name} differs by {np.median(us):.0f} us (median), {us.max():.0f} (most)")


def unseen(rows: Rows, left: Counter[Any]) -> Iterator[tuple[str, Any]]:
    """Why the tracepoints cannot have seen each of the rows ``left``, or "": they should have."""
    failed = {
        (row["connection_id"], row["pid"], row["message_id"])
        for row in rows
        if row["flags"] & Flag.COMPOUND and row["status"]
    }
    for row, identity in zip(rows, map(tuple, rows[list(WHO)].tolist()), strict=True):
        if not left[identity]:
            continue
        left[identity] -= 1
        earlier = {
            (row["connection_id"], row["pid"], row["message_id"] - part)
            for part in range(1, MAX_COMPOUND)
        }
        if row["command"] == ECHO:
            yield "ECHO", identity
        elif row["outcome"] != Outcome.ANSWERED:
            yield Outcome(row["outcome"]).name, identity
        elif row["flags"] & Flag.COMPOUND and earlier & failed:
            yield "later part of a failed compound", identity
        else:
            yield "", identity


def compare_tracepoints(probes: Probes, rows: dict[str, Rows]) -> None:
    """A subset, with the right status; what is missing is what its notes say."""
    requests_seen = requests(rows["fentry"])
    fentry = identities(requests_seen, WHO)
    tracepoint = identities(requests(rows["tracepoint"]), WHO)
    explained = skips(probes["fentry"])
    extra = tracepoint - fentry
    for identity in list(extra)[:20]:
        print("    tracepoints alone:", described(identity), flush=True)
    check(
        "what the tracepoints tell is what fentry recorded, with its status",
        extra.total() <= explained,
        f"{tracepoint.total()} of {fentry.total()}, {extra.total()} others, {explained} skipped",
    )
    whys = list(unseen(requests_seen, fentry - tracepoint))
    print("not seen:", dict(Counter(why for why, _ in whys)), flush=True)
    unexplained = [described(identity) for why, identity in whys if not why]
    check("all else is what its notes say", not unexplained, unexplained[:5])
    later = sum(why.startswith("later") for why, _ in whys)
    unended = probes["tracepoint"].losses()["unended"]
    check("the later parts of failed compounds are counted", unended == later, unended)
    check("and they were met", later > 10 and len(whys) > later, len(whys))
