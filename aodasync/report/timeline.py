# SPDX-License-Identifier: MIT
"""The timeline: one mark a request, time across, latency upward on a logarithmic scale. SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from aodasync.events import REQUEST, EventArray, Kind
from aodasync.evidence.failures import failed, silent
from aodasync.report.clock import duration
from aodasync.report.html import text
from aodasync.report.summary import Moments, latency_ms
from aodasync.smb.commands import command_name

__all__ = ["COLOURS", "MOST_POINTS", "Size", "legend", "overview", "timeline"]

COLOURS: Final = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
"""Classes of commands, most frequent first; the last one is for all others."""

MOST_POINTS: Final = 6000
"""Requests that are drawn: the slowest, and an even choice of the others."""

_BUCKETS: Final = 200
_LABELLED: Final = 60
_STEPS_SEC: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels of a plot, and how many marks its time axis may bear."""

    width: int
    height: int
    ticks: int

    left: int = 52
    right: int = 12
    top: int = 26
    bottom: int = 40


@dataclass(frozen=True, slots=True)
class _Scale:
    size: Size
    first_ns: int
    last_ns: int
    low: float  # exponents of ten, in ms
    high: float

    def x(self, time_ns: float) -> float:
        share = (time_ns - self.first_ns) / max(1, self.last_ns - self.first_ns)
        return self.size.left + share * (self.size.width - self.size.left - self.size.right)

    def y(self, span_ms: float) -> float:
        exponent = math.log10(max(span_ms, 10**self.low))
        share = (exponent - self.low) / (self.high - self.low)
        bottom = self.size.height - self.size.bottom
        return bottom - share * (bottom - self.size.top)


def legend(rows: EventArray) -> list[tuple[str, str]]:
    """(colour class, command), most frequent first."""
    codes, counts = np.unique(rows["command"][rows["kind"] == Kind.REQUEST], return_counts=True)
    order = codes[np.argsort(-counts, kind="stable")]
    named = [(colour, command_name(int(c))) for colour, c in zip(COLOURS, order, strict=False)]
    if len(order) > len(COLOURS):
        named[-1] = (COLOURS[-1], "others")
    return named


def timeline(rows: EventArray, ages_ms: Sequence[float], at: Moments, size: Size) -> str:
    """An ``<svg>``, or nothing if no request ended.

    ``ages_ms`` are those of the requests in flight at the decision. Marks of what is
    slowest and of what went wrong have a title.
    """
    ended = rows[rows["released_ns"] > 0]
    if not len(ended):
        return ""
    requests, troubles = ended[ended["kind"] == Kind.REQUEST], ended[ended["kind"] != Kind.REQUEST]
    spans = latency_ms(requests)
    last_ns = max(int(ended["released_ns"].max()), at.decided_ns)
    first_ns = int(ended["released_ns"].min())
    low = math.floor(math.log10(max(0.01, float(spans.min(initial=1.0)))))
    highest = max([10.0, float(spans.max(initial=1.0)), *ages_ms])
    high = math.ceil(math.log10(highest * 1.05))
    scale = _Scale(size, first_ns, last_ns, low, max(high, low + 1))
    parts = [
        *_axes(scale, at),
        *_points(scale, requests),
        *_marks(scale, requests),
        *(_flying(scale, at, age) for age in ages_ms[:500]),
        *(_trouble(scale, row) for row in troubles[:200]),
    ]
    box = f"0 0 {size.width} {size.height}"
    return f'<svg viewBox="{box}" role="img" aria-label="Latency over time">{"".join(parts)}</svg>'


def overview(rows: EventArray, shown_ns: tuple[int, int], size: Size) -> str:
    """The whole recorder as an ``<svg>``: the slowest request of each 200th, the window shaded."""
    ended = rows[(rows["released_ns"] > 0) & (rows["kind"] == REQUEST)]
    if not len(ended):
        return ""
    first_ns, last_ns = int(ended["released_ns"].min()), int(ended["released_ns"].max())
    scale = _Scale(size, first_ns, last_ns, 0, 1)
    whole_ns = max(1, last_ns - first_ns)
    place = (ended["released_ns"] - np.uint64(first_ns)).astype(np.float64) / whole_ns
    bucket = np.minimum((place * _BUCKETS).astype(np.int64), _BUCKETS - 1)
    worst = np.zeros(_BUCKETS)
    np.maximum.at(worst, bucket, latency_ms(ended))
    tallest = math.log10(1 + max(float(worst.max()), 1.0))
    bars = "".join(
        f"M{scale.x(first_ns + whole_ns * (n + 0.5) / _BUCKETS):.1f} {size.height}"
        f"v-{(size.height - 4) * math.log10(1 + each) / tallest:.1f}"
        for n, each in enumerate(worst.tolist())
        if each
    )
    left, right = (min(max(scale.x(at), size.left), scale.x(last_ns)) for at in shown_ns)
    box = f"0 0 {size.width} {size.height}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="All that was recorded">'
        f'<rect class="during" x="{left:.1f}" y="0" width="{max(1.0, right - left):.1f}"'
        f' height="{size.height}"/><path class="strip" d="{bars}"/></svg>'
    )


def _axes(scale: _Scale, at: Moments) -> Iterator[str]:
    size = scale.size
    right, bottom = size.width - size.right, size.height - size.bottom
    for exponent in range(int(scale.low), int(scale.high) + 1):
        y = scale.y(10.0**exponent)
        yield f'<path class="grid" d="M{size.left} {y:.1f}H{right}"/>'
        yield _label("end", size.left - 6, y + 4, duration(10.0**exponent))
    if scale.first_ns < at.decided_ns:
        began = max(scale.x(at.began_ns), size.left)
        width = max(1.0, scale.x(at.decided_ns) - began)
        yield (
            f'<rect class="during" x="{began:.1f}" y="{size.top}" width="{width:.1f}"'
            f' height="{bottom - size.top}"/>'
        )
    span_sec = (scale.last_ns - scale.first_ns) / 1e9
    step = next((s for s in _STEPS_SEC if span_sec / s <= size.ticks), span_sec / size.ticks)
    first = math.ceil((scale.first_ns - at.decided_ns) / 1e9 / step)
    last = math.floor((scale.last_ns - at.decided_ns) / 1e9 / step)
    for n in range(first, last + 1):
        x = scale.x(at.decided_ns + n * step * 1e9)
        yield f'<path class="grid" d="M{x:.1f} {bottom}v5"/>'
        yield _label("mid", x, bottom + 19, f"{n * step:+g} s" if n else "0")
    middle = (size.left + right) / 2
    yield _label("mid", middle, size.height - 4, "time from the decision")
    x = scale.x(at.decided_ns)
    anchor = "end" if x > size.width * 0.7 else "start"
    yield f'<path class="trigger" d="M{x:.1f} {size.top - 8}V{bottom}"/>'
    nudge = -5 if anchor == "end" else 5
    yield _label(f"{anchor} trigger-text", x + nudge, size.top - 10, "decision")


def _label(kind: str, x: float, y: float, said: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{said}</text>'


def _points(scale: _Scale, requests: EventArray) -> Iterator[str]:
    """Plain requests: a path a colour; of too many, the slowest and an even choice."""
    spans = latency_ms(requests)
    kept = np.arange(len(requests))
    if len(kept) > MOST_POINTS:
        slowest = np.argsort(spans)[-MOST_POINTS // 3 :]
        even = np.linspace(0, len(kept) - 1, MOST_POINTS * 2 // 3).astype(np.int64)
        kept = np.union1d(slowest, even)
    shown = requests[kept]
    codes, counts = np.unique(requests["command"], return_counts=True)
    order = codes[np.argsort(-counts, kind="stable")].tolist()
    places = {code: min(place, len(COLOURS) - 1) for place, code in enumerate(order)}
    paths: dict[int, list[str]] = {}
    for row, span in zip(shown, spans[kept], strict=True):
        dot = f"M{scale.x(int(row['released_ns'])):.1f} {scale.y(float(span)):.1f}h0"
        paths.setdefault(places[int(row["command"])], []).append(dot)
    for place in sorted(paths):
        yield f'<path class="dot {COLOURS[place]}" d="{"".join(paths[place])}"/>'


def _marks(scale: _Scale, requests: EventArray) -> Iterator[str]:
    """What failed (ring), what got no response (cross); the slowest, for their titles."""
    spans = latency_ms(requests)
    lost, bad = silent(requests), failed(requests)
    titled = set(np.argsort(spans)[-_LABELLED:].tolist())
    for n in np.flatnonzero(lost | bad)[:2000].tolist():
        titled.discard(n)
        yield _mark(scale, requests[n], float(spans[n]), "silent" if lost[n] else "failed")
    for n in sorted(titled):
        yield _mark(scale, requests[n], float(spans[n]), "slow")


def _mark(scale: _Scale, row: np.void, span: float, kind: str) -> str:
    x, y = scale.x(int(row["released_ns"])), scale.y(span)
    comm = bytes(row["comm"]).decode("utf-8", "replace")
    pid, status = int(row["pid"]), int(row["status"])
    what = f"{command_name(int(row['command']))} {duration(span)}"
    title = f"<title>{text(f'{what}, {comm} {pid}, status 0x{status:08x}')}</title>"
    if kind == "silent":
        return f'<path class="silent" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8">{title}</path>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'


def _flying(scale: _Scale, at: Moments, age_ms: float) -> str:
    x, y = scale.x(at.decided_ns), scale.y(age_ms)
    title = f"<title>in flight for {duration(age_ms)}</title>"
    return f'<path class="flying" d="M{x - 10:.1f} {y:.1f}l9 -5v10z">{title}</path>'


def _trouble(scale: _Scale, row: np.void) -> str:
    x, y = scale.x(int(row["released_ns"])), scale.size.top
    kinds = {kind.value: kind.name.lower().replace("_", " ") for kind in Kind}
    name = kinds.get(int(row["kind"]), "trouble")
    return f'<path class="trouble" d="M{x:.1f} {y}l5 7l-5 7l-5 -7z"><title>{name}</title></path>'
