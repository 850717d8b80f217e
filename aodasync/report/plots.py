# SPDX-License-Identifier: MIT
"""The plots of the page: drawn once for those without script, and the controls for the script."""

from __future__ import annotations

from typing import Final

import numpy as np

from aodasync.events import REQUEST, EventArray, pick
from aodasync.report import summary
from aodasync.report.clock import Clock, clock_of
from aodasync.report.content import Content
from aodasync.report.html import section, text
from aodasync.report.timeline import MOST_POINTS, Size, legend, overview, timeline
from aodasync.report.values import part, real_number
from aodasync.report.waterfall import KEYS, slowest, waterfall

__all__ = ["latency_over_time", "slowest_requests"]

_WIDE: Final = Size(width=1000, height=400, ticks=10)
_NARROW: Final = Size(width=400, height=340, ticks=4)
_STRIP: Final = Size(width=1000, height=46, ticks=0, top=0, bottom=0)
_BEFORE_NS: Final = 30 * 1_000_000_000
_SIGN: Final = '<svg class="small" viewBox="0 0 18 14">{}</svg>'
_SIGNS: Final = (
    ("failed", '<circle class="failed" cx="9" cy="7" r="4.5"/>'),
    ("no response", '<path class="silent" d="M5 3l8 8m0 -8l-8 8"/>'),
    ("in flight, at its age", '<path class="flying" d="M4 7l9 -5v10z"/>'),
    ("connection trouble", '<path class="trouble" d="M9 0l5 7l-5 7l-5 -7z"/>'),
)

# What the script needs; it shows them, fills them, and hides what is drawn once.
_LIVE: Final = (
    '<div id="live" hidden><div class="bar">'
    + "".join(
        f'<label>{name} <select id="by-{name}"><option value="">all</option></select></label>'
        for name in ("command", "process", "share")
    )
    + '<label><input type="checkbox" id="by-failed"> failed only</label>'
    + "".join(
        f'<button type="button" id="go-{name}">{said}</button>'
        for name, said in (
            *(("anomaly", "anomaly"), ("all", "all"), ("closer", "+"), ("wider", "\N{MINUS SIGN}")),
            *(("earlier", "\N{LEFTWARDS ARROW}"), ("later", "\N{RIGHTWARDS ARROW}")),
        )
    )
    + '</div><p class="dim"><output id="shown"></output>'
    '<span id="heat-key" hidden>; many requests: darker is more of them</span></p>'
    '<div class="stage"><canvas id="plot" tabindex="0" role="img" aria-label="Latency over time">'
    '</canvas><div id="tip" hidden></div></div>'
    '<canvas id="strip" role="img" aria-label="Which part of the recording is shown"></canvas>'
    '<p class="dim">Drag to zoom in, double-click to zoom out; the strip is the whole recording.'
    " Shaded: the anomaly.</p></div>"
)


def latency_over_time(content: Content) -> str:
    """The timeline, from half a minute before the trouble on, and a strip of all."""
    at = summary.moments(content.manifest, content.rows)
    ages = [real_number(request, "age_ms") for request in content.in_flight]
    ended_ns = content.rows["released_ns"]
    from_ns, to_ns = max(1, at.began_ns - _BEFORE_NS), int(ended_ns.max(initial=0))
    shown = pick(content.rows, ended_ns >= np.uint64(from_ns))
    whole = len(shown) == int(np.count_nonzero(ended_ns))
    wide = timeline(shown, ages, at, _WIDE)
    if not wide:
        return section("Latency over time", '<p class="none">No request ended.</p>')
    found = "first_ns" in part(content.manifest, "anomaly")
    shaded = "from the first sign to the decision" if found else "the last ten seconds"
    keys = "".join(
        f'<span><i class="{colour}"></i>{text(name)}</span>' for colour, name in legend(shown)
    )
    signs = "".join(f"<span>{_SIGN.format(mark)}{name}</span>" for name, mark in _SIGNS)
    strip = "" if whole else overview(content.rows, (from_ns, to_ns), _STRIP)
    around = (
        f'<p class="dim">All that was recorded; shaded: what is above.</p>{strip}' if strip else ""
    )
    caption = _caption(shown, clock_of(content.manifest))
    return section(
        "Latency over time",
        _LIVE,
        f'<div class="still"><div class="wide">{wide}</div>',
        f'<div class="narrow">{timeline(shown, ages, at, _NARROW)}</div></div>',
        f'<div class="key">{keys}{signs}</div>',
        f'<div class="still"><p class="dim">{caption} Shaded: {shaded}.</p>{around}</div>',
    )


def _caption(shown: EventArray, clock: Clock | None) -> str:
    count = int(np.count_nonzero((shown["kind"] == REQUEST) & (shown["released_ns"] > 0)))
    marks = "One mark a request, at its end."
    if count > MOST_POINTS:
        marks = (
            f"{MOST_POINTS:,} of {count:,} requests are drawn, at their ends: the slowest, and an"
            " even choice of the others."
        )
    if clock is None:
        return marks
    ended_ns = shown["released_ns"][shown["released_ns"] > 0]
    first, last = clock.time(int(ended_ns.min())), clock.time(int(ended_ns.max()))
    return f"From {first} to {last}. {marks}"


def slowest_requests(content: Content) -> str:
    """A bar for each of the slowest requests."""
    at = summary.moments(content.manifest, content.rows)
    rows = slowest(content.rows, at.began_ns)
    drawn = waterfall(
        rows, summary.shares_by_tree(content.manifest, content.texts), content.file_names
    )
    keys = "".join(f'<span><i class="{kind}"></i>{text(said)}</span>' for kind, said in KEYS)
    return section(
        f"The {len(rows)} slowest requests since it began",
        *(
            (f'<div class="scroll">{drawn}</div>', f'<div class="key">{keys}</div>')
            if drawn
            else ()
        ),
    )
