# SPDX-License-Identifier: MIT
"""The page: the verdict first, then what it rests on, then everything that was collected.

One file, no script, no network: it is opened on a laptop without connection, on a
phone, on paper, and out of the mailbox of a support engineer. A content security
policy holds the browser to that, whatever the bundle's texts contain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from aodasync.detection.patience import may_wait
from aodasync.events import Kind
from aodasync.report import figures
from aodasync.report.content import Content
from aodasync.report.html import cards, number, pairs, section, table, text
from aodasync.report.timeline import Size, legend, timeline
from aodasync.report.values import brief, flat, items, part

__all__ = ["render"]

_WIDE: Final = Size(width=1000, height=400, ticks=10)
_NARROW: Final = Size(width=400, height=340, ticks=4)
_SIGN: Final = '<svg class="small" viewBox="0 0 18 14">{}</svg>'
_SIGNS: Final = (
    ("failed", '<circle class="failed" cx="9" cy="7" r="4.5"/>'),
    ("no response", '<path class="silent" d="M5 3l8 8m0 -8l-8 8"/>'),
    ("in flight, at its age", '<path class="flying" d="M4 7l9 -5v10z"/>'),
    ("connection trouble", '<path class="trouble" d="M9 0l5 7l-5 7l-5 -7z"/>'),
)
_MOST_IN_FLIGHT: Final = 100


def render(content: Content) -> str:
    """The report as one HTML document."""
    manifest = content.manifest
    title = str(manifest.get("bundle", "bundle"))
    body = "".join(
        [
            _head(manifest),
            _cards(content),
            _verdict(manifest),
            _timeline(content),
            _commands(content),
            _in_flight(content),
            _errors(content),
            _tcp(content),
            section("Collected", *_collected(content)),
            _missing(manifest),
            _host(manifest),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_style()}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


@cache
def _style() -> str:
    return files("aodasync.report").joinpath("style.css").read_text(encoding="ascii")


def _head(manifest: Mapping[str, Any]) -> str:
    verdict, anomaly = part(manifest, "verdict"), part(manifest, "anomaly")
    cause = str(verdict.get("cause", "unknown"))
    decided = part(manifest, "collection").get("decided_realtime_ns")
    when = ""
    if isinstance(decided, int) and 0 < decided < 1 << 62:
        when = f"{datetime.fromtimestamp(decided / 1e9, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    about = (anomaly.get("name"), anomaly.get("server"), manifest.get("host"), when)
    line = " \N{MIDDLE DOT} ".join(str(part) for part in about if part)
    return (
        f'<span class="badge {"unknown" if cause == "unknown" else ""}">{text(cause)}</span>'
        f"<h1>{text(verdict.get('sentence', 'No verdict.'))}</h1>"
        f'<p class="dim">{text(line)}</p>'
    )


def _cards(content: Content) -> str:
    requests = content.rows[content.rows["kind"] == Kind.REQUEST]
    slowest = figures.latency_ms(requests[~may_wait(requests)]).max(initial=0.0)
    ages = [r.get("age_ms") for r in content.in_flight]
    oldest = max((age for age in ages if isinstance(age, float)), default=None)
    failed = sum(count for *_, count in _failures(content))
    losses = [n for n in part(content.manifest, "losses").values() if isinstance(n, int)]
    return cards(
        [
            ("requests recorded", f"{len(requests):,}"),
            ("slowest, ms", number(float(slowest))),
            ("in flight", len(content.in_flight)),
            ("oldest in flight, ms", number(oldest)),
            ("failed", f"{failed:,}"),
            ("events lost", f"{sum(losses):,}"),
        ]
    )


def _verdict(manifest: Mapping[str, Any]) -> str:
    verdict, anomaly = part(manifest, "verdict"), part(manifest, "anomaly")
    said: list[tuple[str, object]] = []
    if "count" in anomaly:
        kind = str(anomaly.get("type", "anomaly"))
        has_threshold = bool(anomaly.get("threshold_ms"))
        said += [
            ("anomaly", kind + (", emergency" if anomaly.get("emergency") else "")),
            ("counted", f"{anomaly['count']}, acceptable {anomaly.get('acceptable_count')}"),
            ("slowest", f"{brief(anomaly.get('max_latency_ms'))} ms"),
            ("threshold", f"{brief(anomaly['threshold_ms'])} ms" if has_threshold else ""),
            ("commands", ", ".join(map(str, items(anomaly.get("commands"))))),
            ("codes", ", ".join(map(str, items(anomaly.get("codes"))))),
        ]
    said += [
        ("confidence", verdict.get("confidence", "")),
        ("would be refuted by", verdict.get("refuted_by", "")),
    ]
    evidence = [(key, brief(v)) for key, v in flat(part(verdict, "evidence")) if brief(v)]
    more = f"<details><summary>Evidence</summary>{pairs(evidence)}</details>" if evidence else ""
    return section("What was found", pairs(said), more)


def _timeline(content: Content) -> str:
    at = figures.moments(content.manifest, content.rows)
    ages = [age for age in (r.get("age_ms") for r in content.in_flight) if isinstance(age, float)]
    wide = timeline(content.rows, ages, at, _WIDE)
    if not wide:
        return section("Latency over time", '<p class="none">No request ended.</p>')
    found = "first_ns" in part(content.manifest, "anomaly")
    shaded = "from the first sign to the decision" if found else "the last ten seconds"
    keys = "".join(
        f'<span><i class="{colour}"></i>{text(name)}</span>'
        for colour, name in legend(content.rows)
    )
    signs = "".join(f"<span>{_SIGN.format(mark)}{name}</span>" for name, mark in _SIGNS)
    return section(
        "Latency over time",
        f'<div class="wide">{wide}</div>',
        f'<div class="narrow">{timeline(content.rows, ages, at, _NARROW)}</div>',
        f'<div class="key">{keys}{signs}</div>',
        f'<p class="dim">One mark a request, at its end. Shaded: {shaded}.</p>',
    )


def _commands(content: Content) -> str:
    began_ns = figures.moments(content.manifest, content.rows).began_ns
    heads = ["command", "#before", "#p50", "#p99", "#max", "#during", "#p50", "#p99", "#max"]
    heads += ["#server+network", "#client"]
    rows = [
        (
            row.command,
            *(row.count[0], number(row.median_ms[0]), number(row.p99_ms[0]), number(row.max_ms[0])),
            *(row.count[1], number(row.median_ms[1]), number(row.p99_ms[1]), number(row.max_ms[1])),
            *(number(row.server_ms), number(row.client_ms)),
        )
        for row in figures.by_command(content.rows, began_ns)
    ]
    note = (
        "Times in ms. The last two are medians of the phases during the trouble: issue to"
        " response, and response to release."
    )
    return section(
        "Latency by command", table(heads, rows), f'<p class="dim">{note}</p>' if rows else ""
    )


def _in_flight(content: Content) -> str:
    keys = ("age_ms", "command", "server", "share", "comm", "pid", "message_id")
    rows = [tuple(r.get(key, "") for key in keys) for r in content.in_flight[:_MOST_IN_FLIGHT]]
    heads = ["#age ms", "command", "server", "share", "process", "#pid", "#message id"]
    found = table(heads, rows)
    return section("In flight at the decision", found or '<p class="none">Nothing.</p>')


def _failures(content: Content) -> list[tuple[str, str, str, int]]:
    shares = figures.shares_by_tree(content.manifest, content.texts)
    return figures.errors(content.rows, shares)


def _errors(content: Content) -> str:
    rows = _failures(content)
    return section("Errors", table(["what", "command", "share", "#count"], rows))


def _tcp(content: Content) -> str:
    found = figures.sockets(content.texts.get("sockets.log", ""))
    keys = [*("peer", "state", "rtt", "rto", "cwnd", "unacked", "retrans", "lost")]
    keys += ["rcv_ooopack", "send_q", "recv_q"]
    heads = ["peer", "state", "#rtt ms", "#rto ms", "#cwnd", "#unacked", "#retrans"]
    heads += ["#lost", "#out of order", "#send q", "#recv q"]
    rows = [tuple(socket.get(key, "\N{EN DASH}") for key in keys) for socket in found]
    changed = content.texts.get("netstat.log", "").partition("==> difference <==\n")[2]
    counters = [line.partition(": ")[::2] for line in changed.splitlines() if ": " in line]
    wanted = ("Retrans", "Timeout", "Lost", "Abort", "Reset", "Fail", "Err", "OutOfOrder")
    notable = [pair for pair in counters if any(word in pair[0] for word in wanted)]
    return section("TCP", table(heads, rows), table(["counted during collection", "#"], notable))


def _collected(content: Content) -> Iterator[str]:
    for action in items(content.manifest.get("actions")):
        if not isinstance(action, Mapping):
            continue
        error = action.get("error")
        state = f'<span class="bad">{text(error)}</span>' if error else "ok"
        cut = ", cut" if action.get("truncated") else ""
        size = f"{action.get('bytes', 0)} bytes{cut}, {action.get('duration_ms')} ms"
        how = " ".join(map(str, items(action.get("argv")))) or str(action.get("path", ""))
        body = content.texts.get(str(action.get("file")), "")
        yield (
            f"<details><summary><b>{text(action.get('name'))}</b>"
            f'<span class="dim">{text(size)}</span><span>{state}</span></summary>'
            f'<p class="dim">{text(how)}</p><pre>{text(body)}</pre></details>'
        )


def _missing(manifest: Mapping[str, Any]) -> str:
    lost = [(name, count) for name, count in part(manifest, "losses").items() if count]
    cut = [c for c in items(manifest.get("truncations")) if isinstance(c, Mapping)]
    rows = [(c.get("file", ""), c.get("reason", "")) for c in cut]
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
