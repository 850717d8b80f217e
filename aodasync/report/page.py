# SPDX-License-Identifier: MIT
"""The page: what an administrator needs first, then what it rests on, then all of the evidence.

One file, no network: it is opened on a laptop without connection, on a phone, on paper, and
out of the mailbox of a support engineer. Without its script it shows the same, drawn once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from aodasync.detection.long_waits import may_wait
from aodasync.events import REQUEST
from aodasync.evidence.failures import failed, silent
from aodasync.report import summary, tables
from aodasync.report.content import Content
from aodasync.report.document import document
from aodasync.report.first_screen import first_screen
from aodasync.report.html import cards, more, number, pairs, section, short, table, text
from aodasync.report.plots import latency_over_time, slowest_requests
from aodasync.report.rows import data_block
from aodasync.report.stacks import stacks
from aodasync.report.values import items, objects, part, real_number

__all__ = ["render"]

_MOST_ACTIONS: Final = 100


def render(content: Content) -> str:
    """The report as one HTML document."""
    manifest = content.manifest
    body = "".join(
        [
            first_screen(content),
            _cards(content),
            latency_over_time(content),
            slowest_requests(content),
            tables.groups(content),
            tables.in_flight(content),
            tables.operations(content),
            tables.one_by_one(content),
            stacks(content.texts),
            tables.errors(content),
            tables.tcp(content),
            section("Collected", *_collected(content)),
            _missing(manifest),
            _host(manifest),
        ]
    )
    data = data_block(content)
    return document(str(manifest.get("bundle", "bundle")), body, data=data)


def _cards(content: Content) -> str:
    """Key figures; those that say nothing are left out."""
    requests = content.rows[content.rows["kind"] == REQUEST]
    worst_ms = summary.latency_ms(requests[~may_wait(requests)]).max(initial=0.0)
    oldest_ms = max((real_number(r, "age_ms") for r in content.in_flight), default=0.0)
    bad = int(np.count_nonzero(failed(requests) | silent(requests)))
    losses = part(content.manifest, "losses").values()
    lost = sum(n for n in losses if isinstance(n, int))
    figures: list[tuple[str, object]] = [
        ("requests recorded", f"{len(requests):,}"),
        ("slowest, ms", number(float(worst_ms))),
    ]
    if content.in_flight:
        figures.append(("in flight", f"{len(content.in_flight):,}"))
        figures.append(("oldest in flight, ms", number(oldest_ms)))
    if bad:
        figures.append(("failed", f"{bad:,}"))
    if lost:
        figures.append(("events lost", f"{lost:,}"))
    return cards(figures)


def _collected(content: Content) -> Iterator[str]:
    actions = objects(content.manifest.get("actions"))
    for action in actions[:_MOST_ACTIONS]:
        error = action.get("error")
        state = f'<span class="bad">{short(error)}</span>' if error else "ok"
        cut = ", cut" if action.get("truncated") else ""
        size = f"{action.get('bytes', 0)} bytes{cut}, {action.get('duration_ms')} ms"
        how = " ".join(map(str, items(action.get("argv")))) or str(action.get("path", ""))
        body = content.texts.get(str(action.get("file")), "")
        yield (
            f"<details><summary><b>{short(action.get('name'))}</b>"
            f'<span class="dim">{short(size)}</span><span>{state}</span></summary>'
            f'<p class="dim">{short(how)}</p><pre>{text(body)}</pre></details>'
        )
    yield more(len(actions) - _MOST_ACTIONS)


def _missing(manifest: Mapping[str, Any]) -> str:
    lost = [(name, count) for name, count in part(manifest, "losses").items() if count]
    rows = [(c.get("file", ""), c.get("reason", "")) for c in objects(manifest.get("truncations"))]
    nothing = "" if lost or rows else '<p class="none">Nothing was lost or cut.</p>'
    return section("Losses", table(["lost", "#count"], lost), table(["cut", "~how"], rows), nothing)


def _host(manifest: Mapping[str, Any]) -> str:
    cifs, collection = part(manifest, "cifs"), part(manifest, "collection")
    spent = collection.get("volatile_ms")
    return section(
        "Where it comes from",
        pairs(
            [
                ("bundle", manifest.get("bundle", "")),
                ("kernel", part(manifest, "kernel").get("release", "")),
                ("cifs", f"{cifs.get('version')}, {cifs.get('srcversion')}" if cifs else ""),
                ("probe", part(manifest, "probe").get("name", "")),
                ("agent", part(manifest, "agent").get("version", "")),
                ("decision to volatile evidence", f"{spent} ms" if spent else ""),
            ]
        ),
    )
