# SPDX-License-Identifier: MIT
"""Many bundles as one page: a line for each, which leads to its own page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from aodasync.report.clock import clock_of, duration
from aodasync.report.document import document
from aodasync.report.html import number, short
from aodasync.report.values import objects, part, real_number, whole_number

__all__ = ["Entry", "is_index", "render_index"]

_TITLE: Final = "Bundles"


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle: its name, the file of its page beside this one, and its manifest.

    ``error`` says why it has no page.
    """

    name: str
    page: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def render_index(entries: Iterable[Entry]) -> str:
    """The page; the entries stay in their order."""
    rows = "".join(map(_row, entries))
    heads = ("when", "lasted", "anomaly", "server", "cause", "who", "worst, ms", "what")
    head = "".join(f"<th>{name}</th>" for name in heads)
    listed = (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{rows}</table></div>'
        if rows
        else '<p class="none">No bundle.</p>'
    )
    return document(_TITLE, f"<h1>Bundles</h1>{listed}")


def is_index(beginning: bytes) -> bool:
    """Whether a file that begins so, with a kilobyte of it, is such a page."""
    return f"<title>{_TITLE}</title><style>".encode() in beginning


def _row(entry: Entry) -> str:
    manifest = entry.manifest
    anomaly, verdict = part(manifest, "anomaly"), part(manifest, "verdict")
    episode, clock = part(manifest, "episode"), clock_of(manifest)
    decided_ns = whole_number(manifest.get("collection"), "decided_monotonic_ns")
    when = clock.date(whole_number(anomaly, "first_ns") or decided_ns) if clock else entry.name
    who = objects(part(manifest, "who").get("processes"))[:1]
    worst = real_number(episode, "worst_ms") or real_number(anomaly, "max_latency_ms")
    cells = (
        _lasted(episode),
        anomaly.get("name", ""),
        anomaly.get("server", ""),
        verdict.get("cause", ""),
        ", ".join(f"{each.get('name')} {each.get('pid')}" for each in who),
        number(worst) if worst else "",
    )
    said = short(entry.error or verdict.get("sentence", ""))
    first = short(when) if entry.error else f'<a href="{quote(entry.page)}">{short(when)}</a>'
    told = "".join(f"<td>{short(cell)}</td>" for cell in cells)
    return f'<tr><td>{first}</td>{told}<td class="wrap">{said}</td></tr>'


def _lasted(episode: Mapping[str, Any]) -> str:
    began_ns = whole_number(episode, "began_monotonic_ns")
    if ended_ns := whole_number(episode, "ended_monotonic_ns"):
        return duration(max(0, ended_ns - began_ns) / 1e6)
    return "went on" if episode.get("open") is True else ""
