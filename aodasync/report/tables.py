# SPDX-License-Identifier: MIT
"""The tables of the page: who, what was in flight, what failed, what TCP says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from aodasync.evidence.one_by_one import chains
from aodasync.report import summary
from aodasync.report.content import Content
from aodasync.report.groups import Figures, by_command, grouped
from aodasync.report.html import number, section, short, table
from aodasync.report.values import objects, real_number

__all__ = ["errors", "groups", "in_flight", "one_by_one", "operations", "tcp"]

_NOTABLE: Final = ("Retrans", "Timeout", "Lost", "Abort", "Reset", "Fail", "Err", "OutOfOrder")


def groups(content: Content) -> str:
    """By command, process, share and server: those that added most time first."""
    manifest, rows = content.manifest, content.rows
    began_ns = summary.moments(manifest, rows).began_ns
    shares = summary.shares_by_tree(manifest, content.texts)
    servers = {
        c["connection_id"]: str(c.get("server") or c.get("address", ""))
        for c in objects(manifest.get("connections"))
        if isinstance(c.get("connection_id"), int)
    }
    note = (
        "Times in ms. Sum: of all requests since it began; added: what of it is over the usual"
        " median. Wire and client are medians since then: from issue to response (server and"
        " network), and from response to release."
    )
    found = by_command(rows, began_ns)
    return "".join(
        [
            section(
                "Latency by command",
                _table("command", found),
                f'<p class="dim">{note}</p>' if found else "",
            ),
            section("By process", _by("process", content, ("comm", "tgid"), _process)),
            section(
                "By share", _by("share", content, ("tree_id",), lambda row: _share(row, shares))
            ),
            section(
                "By server",
                _by("server", content, ("connection_id",), lambda row: _server(row, servers)),
            ),
        ]
    )


def _by(
    head: str, content: Content, fields: tuple[str, ...], name: Callable[[tuple[Any, ...]], str]
) -> str:
    began_ns = summary.moments(content.manifest, content.rows).began_ns
    return _table(head, grouped(content.rows, began_ns, fields, name))


def _process(row: tuple[Any, ...]) -> str:
    return f"{row[0].decode('utf-8', 'replace')} {row[1]}"


def _share(row: tuple[Any, ...], shares: Mapping[int, str]) -> str:
    return shares.get(row[0]) or (f"tree 0x{row[0]:x}" if row[0] else "none")


def _server(row: tuple[Any, ...], servers: Mapping[int, str]) -> str:
    return servers.get(row[0]) or f"connection {row[0]}"


def _table(head: str, found: list[Figures]) -> str:
    heads = [head, "#before", "#usual p50", "#since", "#p50", "#p99", "#max"]
    heads += ["#sum", "#times usual", "#added", "#failed", "#wire", "#client"]
    return table(heads, map(_row, found))


def _row(group: Figures) -> tuple[object, ...]:
    usual_ms, now_ms = group.median_ms
    times = now_ms / usual_ms if usual_ms and now_ms is not None else None
    return (
        group.name,
        *(group.count[0], number(usual_ms)),
        *(group.count[1], number(now_ms), number(group.p99_ms[1]), number(group.max_ms[1])),
        *(number(group.sum_ms), number(times, 2), number(max(0.0, group.added_ms))),
        *(group.failed or "", number(group.server_ms), number(group.client_ms)),
    )


def in_flight(content: Content) -> str:
    """The requests that had not ended at the decision, the oldest first."""
    keys = ("age_ms", "command", "server", "share", "file_name", "comm", "pid", "message_id")
    rows = (tuple(r.get(key, "") for key in keys) for r in _oldest_first(content.in_flight))
    heads = ["#age ms", "command", "server", "share", "file", "process", "#pid", "#message id"]
    unreadable = "".join(f'<p class="bad">{short(each)}</p>' for each in content.unreadable)
    found = table(heads, rows) + unreadable
    return section("In flight at the decision", found or '<p class="none">Nothing.</p>')


def operations(content: Content) -> str:
    """What threads did inside the client; one without a request in flight waits there."""
    heads = ["#age ms", "function", "waits for", "process", "#thread", "#pid"]
    rows = (
        (
            *(o.get("age_ms", ""), o.get("function", "")),
            str(o.get("waits_for", "")).replace("_", " "),
            *(o.get("comm", ""), o.get("pid", ""), o.get("tgid", "")),
        )
        for o in _oldest_first(content.operations)
    )
    return section("Operations under way at the decision", table(heads, rows))


def one_by_one(content: Content) -> str:
    """Threads that waited for one round trip after another: nothing is slow, but many are."""
    heads = ["process", "#pid", "#round trips", "#each ms", "#s", "#% of its time", "commands"]
    rows = (
        (
            *(chain.comm, chain.tgid, chain.trips, round(chain.each_ms, 1)),
            *(round(chain.seconds, 1), round(100 * chain.share), ", ".join(chain.commands)),
        )
        for chain in chains(content.rows)
    )
    found = table(heads, rows)
    return section("One after another", found) if found else ""


def _oldest_first(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(described, key=lambda one: real_number(one, "age_ms"), reverse=True)


def errors(content: Content) -> str:
    """What failed since the trouble began, and apart from it, what failed before."""
    shares = summary.shares_by_tree(content.manifest, content.texts)
    began_ns = summary.moments(content.manifest, content.rows).began_ns
    since = content.rows["released_ns"] >= np.uint64(began_ns)
    heads = ["what", "command", "share", "#count"]
    parts = [
        (title, table(heads, summary.errors(content.rows[which], shares)))
        for title, which in (("since it began", since), ("before", ~since))
    ]
    shown = [f"<h3>{title}</h3>{body}" for title, body in parts if body]
    return section("Errors", *shown)


def tcp(content: Content) -> str:
    """The sockets to the servers, and what the host's TCP counted during collection."""
    found = summary.sockets(content.texts.get("sockets.log", ""))
    keys = [*("peer", "state", "rtt", "rto", "cwnd", "unacked", "retrans", "lost")]
    keys += ["rcv_ooopack", "send_q", "recv_q"]
    heads = ["peer", "state", "#rtt ms", "#rto ms", "#cwnd", "#unacked", "#retrans"]
    heads += ["#lost", "#out of order", "#send q", "#recv q"]
    rows = (tuple(socket.get(key, "\N{EN DASH}") for key in keys) for socket in found)
    changed = content.texts.get("netstat.log", "").partition("==> difference <==\n")[2]
    counters = [line.partition(": ")[::2] for line in changed.split("\n") if ": " in line]
    notable = [pair for pair in counters if any(word in pair[0] for word in _NOTABLE)]
    return section("TCP", table(heads, rows), table(["counted during collection", "#"], notable))
