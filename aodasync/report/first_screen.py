# SPDX-License-Identifier: MIT
"""What is seen first: what happened, when, who suffers, why, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aodasync.report import summary
from aodasync.report.clock import clock_of, duration
from aodasync.report.content import Content
from aodasync.report.html import number, pairs, short, text
from aodasync.report.values import brief, flat, items, objects, part, real_number, whole_number

__all__ = ["first_screen"]

_MOST_NAMED: Final = 4
_MOST_STEPS: Final = 8

# Of figures whose names are short in the manifest.
_LABELS: Final[Mapping[str, str]] = {
    "not picked up": "responses not picked up",
    "cut off ms": "oldest cut off by a reconnect, ms",
    "credit troubles": "troubles with credits",
    "oldest ms": "oldest without a response, ms",
    "announced opens": "opens that wait for another client",
    "quarter wire ms": "wire ms of the quickest quarter",
    "tcp quiet ms": "tcp silent for, ms",
}


def first_screen(content: Content) -> str:
    """The head of the page."""
    manifest = content.manifest
    verdict = part(manifest, "verdict")
    cause = str(verdict.get("cause", "unknown"))
    confidence = verdict.get("confidence")
    badge = f"{cause} ({confidence} confidence)" if confidence and cause != "unknown" else cause
    anomaly = part(manifest, "anomaly")
    about = (anomaly.get("name"), anomaly.get("server"), manifest.get("host"))
    line = " \N{MIDDLE DOT} ".join(str(name) for name in about if name)
    return (
        f'<span class="badge {"unknown" if cause == "unknown" else ""}">{short(badge)}</span>'
        f"<h1>{short(verdict.get('sentence', 'No verdict.'))}</h1>"
        f'<p class="dim">{short(line)}</p>{_replayed(manifest)}'
        f'<div class="first">{pairs(_facts(content))}</div>{_next(verdict)}{_evidence(verdict)}'
    )


def _replayed(manifest: Mapping[str, Any]) -> str:
    replayed = part(manifest, "replayed")
    if manifest.get("live") is not False and not replayed:
        return ""
    recording = replayed.get("recording", "")
    return (
        f'<p class="note">A replay of the recording {short(recording)}: dates are those of the'
        " replay, and nothing was collected besides the requests.</p>"
    )


def _facts(content: Content) -> Iterator[tuple[str, str]]:
    manifest = content.manifest
    yield "what", _what(part(manifest, "anomaly"))
    yield "when", _when(content)
    who = part(manifest, "who")
    yield "who", _named(who, "processes", with_pid=True)
    yield "where", _named(who, "shares")
    yield "files", _named(who, "files")
    yield "how bad", _how_bad(content)
    yield "would refute it", brief(part(manifest, "verdict").get("refuted_by"))


def _what(anomaly: Mapping[str, Any]) -> str:
    kind = str(anomaly.get("type", ""))
    said = [kind + (", emergency" if anomaly.get("emergency") else "")]
    if anomaly.get("rule"):
        said.append(f"rule {anomaly['rule']}")
    if "count" in anomaly:
        threshold = real_number(anomaly, "threshold_ms")
        over = f" of {duration(threshold)} and more" if threshold else ""
        accepted = f" (acceptable: {anomaly.get('acceptable_count')})"
        many = "s" * (anomaly["count"] != 1)
        said.append(f"{anomaly['count']} request{many}{over} until the decision{accepted}")
    for named in (items(anomaly.get("commands")), items(anomaly.get("codes"))):
        said += [", ".join(str(name).removeprefix("SMB2_") for name in named[:20])]
    return "; ".join(part for part in said if part)


def _when(content: Content) -> str:
    manifest = content.manifest
    at, clock = summary.moments(manifest, content.rows), clock_of(manifest)
    if clock is None:
        return ""
    anomaly = part(manifest, "anomaly")
    if not whole_number(anomaly, "first_ns"):
        return f"taken {clock.date(at.decided_ns)}"
    noticed = duration((at.decided_ns - at.began_ns) / 1e6)
    began = f"began {clock.date(at.began_ns)}, noticed after {noticed}"
    episode = part(manifest, "episode")
    if ended_ns := whole_number(episode, "ended_monotonic_ns"):
        lasted_ms = max(0, ended_ns - at.began_ns) / 1e6
        return f"{began}; lasted {duration(lasted_ms)}; this was collected at its end"
    if anomaly.get("phase") == "end":
        return f"{began}; this was collected at its end"
    if episode.get("open") is True:
        began += "; it still went on when this was collected"
    last_ns = int(content.rows["released_ns"].max(initial=0))
    if last_ns <= at.began_ns:
        return began
    return f"{began}; recorded here for {duration((last_ns - at.began_ns) / 1e6)} from then on"


def _named(who: Mapping[str, Any], kind: str, *, with_pid: bool = False) -> str:
    """Names with their part of the time that was waited, most first."""
    found = []
    for one in objects(who.get(kind))[:_MOST_NAMED]:
        pid = f" {one.get('pid')}" if with_pid else ""
        found.append(f"{one.get('name')}{pid} ({real_number(one, 'share_of_time'):.0%})")
    return f"{', '.join(found)} of the time that was waited" if found else ""


def _how_bad(content: Content) -> str:
    began_ns = summary.moments(content.manifest, content.rows).began_ns
    found = summary.against_usual(content.rows, began_ns)
    if found is None:
        return ""
    command, usual_ms, now_ms, worst_ms = found
    before = ""
    if usual_ms:
        before = f", {number(now_ms / usual_ms, 2)} times the {duration(usual_ms)} of before"
    name = command.removeprefix("SMB2_")
    return f"{name} takes {duration(now_ms)} (median){before}; the worst {duration(worst_ms)}"


def _next(verdict: Mapping[str, Any]) -> str:
    steps = [step for step in items(verdict.get("next")) if isinstance(step, str)]
    if not steps:
        return ""
    listed = "".join(f"<li><code>{short(step)}</code></li>" for step in steps[:_MOST_STEPS])
    return f'<h2 class="next">What to do next</h2><ul class="next">{listed}</ul>'


def _evidence(verdict: Mapping[str, Any]) -> str:
    figures = flat(part(verdict, "evidence"))
    shown = [(_LABELS.get(key, key), brief(v)) for key, v in figures if brief(v)]
    if not shown:
        return ""
    return f"<details><summary>{text('Evidence')}</summary>{pairs(shown)}</details>"
