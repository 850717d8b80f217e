# SPDX-License-Identifier: MIT
"""Cases that people report from the field, as a table: what is done, what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import field_acts as acts
from product import SERVER, Agent

AGE_SEC = 4.0
"""From when on a request hangs."""


@dataclass(frozen=True)
class Case:
    """A case of the field, and what the agent must make of it.

    ``anomalies`` must all appear (``a|b``: one of them), and those of ``also`` may; a latency
    only for what hung before, and so took as long as a hang. Nothing else may; each has
    ``most`` episodes at most, all of ``servers``. The bundle of the first has one of
    ``causes`` and ``says`` in its sentence (a pattern), any of them ``later``. ``logs`` are
    events that must be in the log. Where the server cannot be blamed for sure,
    ``not_server_for_sure``.
    """

    name: str
    act: Callable[[Agent], None]
    anomalies: tuple[str, ...]
    causes: frozenset[str] = frozenset()
    most: int = 1
    also: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset({SERVER})
    says: str = ""
    later: str = ""
    logs: tuple[str, ...] = ()
    not_server_for_sure: bool = False
    within_sec: float = 10.0


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


_UNSURE = _set("network", "server", "unknown", "client")
_NAS = _set("nas")
_SLOW = _set("latency")

CASES: tuple[Case, ...] = (
    Case(
        "no Kerberos ticket",
        acts.no_ticket,
        ("connection",),
        _set("credentials"),
        says="Kerberos",
        within_sec=14,
    ),
    Case(
        "large answers lost",
        acts.large_answers_lost,
        ("hang",),
        _UNSURE,
        also=_SLOW,
        not_server_for_sure=True,
        says="larger than a segment|large",
    ),
    Case(
        "the same beside small ones",
        acts.large_answers_lost_beside_small_ones,
        ("hang",),
        _UNSURE,
        also=_SLOW,
        not_server_for_sure=True,
        says="larger than a segment|large",
    ),
    Case(
        "lease break unanswered",
        acts.lease_break_unanswered,
        ("hang",),
        _UNSURE,
        also=_SLOW,
        says="pending",
        not_server_for_sure=True,
        within_sec=14,
    ),
    # From here on some kernels keep connections without a mount, and their ECHOs.
    Case(
        "multichannel: smbd stopped",
        acts.multichannel_stopped,
        ("hang",),
        _set("server"),
        also=_SLOW,
        servers=_NAS,
    ),
    Case(
        "multichannel: a path lost",
        acts.multichannel_path_lost,
        ("hang|connection",),
        _set("network"),
        also=_set("hang", "connection", "latency"),
        servers=_NAS,
        within_sec=20,
    ),
    Case(
        "multichannel: smbd restarted",
        acts.multichannel_restarted,
        ("connection",),
        _set("server"),
        also=_set("hang", "latency"),  # while it takes over AGE_SEC
        most=2,  # the umount's TREE_DISCONNECT is not answered, until the client reconnects
        servers=_NAS,
    ),
    Case(
        "idle closes, then a hang",
        acts.idle_closes,
        ("hang",),
        _UNSURE,
        also=_set("latency", "connection"),  # the first close is told, the others are a note
        servers=_set(acts.SECOND_ADDRESS, acts.IDLE_ADDRESS),
        logs=("idle_reconnects",),
        not_server_for_sure=True,
    ),
    Case(
        "storage times out",
        acts.storage_times_out,
        ("error|connection",),
        _set("server"),
        also=_set("error", "connection"),
        says="storage|IO_TIMEOUT",
    ),
    Case(
        "client short of memory",
        acts.short_of_memory,
        ("hang",),
        _UNSURE,
        also=_SLOW,
        not_server_for_sure=True,
        says="memory|I/O",
        within_sec=16,
    ),
    Case("SMB1", acts.smb1, (), logs=("smb1_not_watched",)),
    Case(
        "other namespace: delay",
        acts.other_namespace_delayed,
        ("latency",),
        _set("network"),
        servers=_set(acts.NETNS_ADDRESS),
        within_sec=20,
    ),
    Case(
        "other namespace: stopped",
        acts.other_namespace_stopped,
        ("hang",),
        _set("server"),
        also=_SLOW,
        servers=_set(acts.NETNS_ADDRESS),
        within_sec=16,
    ),
    Case("600 files one by one", acts.listed_one_by_one, ()),
    Case(
        "exec during a hang",
        acts.exec_during_a_hang,
        ("hang",),
        _set("server"),
        also=_SLOW,
    ),
    Case(
        "data lost",
        acts.data_lost,
        ("hang|connection|error",),
        _UNSURE,
        also=_set("hang", "connection", "error", "latency"),
        later="data .* was lost",
    ),
    Case(
        "login refused",
        acts.login_refused,
        ("connection",),
        _set("credentials"),
        says="LOGON_FAILURE|WRONG_PASSWORD",
    ),
)
