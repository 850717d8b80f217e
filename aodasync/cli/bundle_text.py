# SPDX-License-Identifier: MIT
"""A manifest as a page of text. It is untrusted: whatever its shape, a page comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from aodasync.host.local_time import moment
from aodasync.host.printable import printable

__all__ = ["describe"]

_MOST_LINES: Final = 200  # of evidence, actions, cuts, losses each
_MOST_CHARACTERS: Final = 2000


def describe(manifest: Mapping[str, Any]) -> str:
    """The verdict, what was found, on what host, what was collected, and what is missing.

    Of long values and lists the beginning, and how much more there is.
    """
    pairs = [*_verdict(manifest), *_anomaly(manifest), *_host(manifest), *_evidence(manifest)]
    width = max(len(label) for label, _ in pairs)
    lines = [f"{label:<{width}}  {text}" for label, text in pairs if text]
    return "\n".join([_short(line) for line in (*lines, "", *_actions(manifest))]) + "\n"


def _short(line: str) -> str:
    more = len(line) - _MOST_CHARACTERS
    return printable(line[:_MOST_CHARACTERS]) + (f" [{more} more characters]" if more > 0 else "")


def _first(lines: Iterable[str], count: int) -> Iterator[str]:
    """The first lines of ``count``, and how many are left out."""
    yield from islice(lines, _MOST_LINES)
    if count > _MOST_LINES:
        yield f"[{count - _MOST_LINES} more: bundles show --json]"


def _joined(value: object) -> str:
    values = _items(value)
    return ", ".join(_first(map(_value, values), len(values)))


def _value(value: object) -> str:
    return f"{value!s:.{_MOST_CHARACTERS}}"


def _part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _verdict(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    verdict = _part(manifest, "verdict")
    yield "bundle", str(manifest.get("bundle", ""))
    yield "verdict", f"{verdict.get('cause', 'unknown')}: {verdict.get('sentence', '')}"
    figures = _part(verdict, "evidence")
    plain = [f"{k} = {v}" for k, v in figures.items() if not isinstance(v, Mapping | list)]
    yield from (("", line) for line in _first(plain, len(plain)))
    if refuted := verdict.get("refuted_by"):
        yield "refuted by", str(refuted)


def _anomaly(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    anomaly = _part(manifest, "anomaly")
    name, kind = anomaly.get("name", ""), anomaly.get("type", "")
    emergency = ", emergency" if anomaly.get("emergency") else ""
    emergency += f", rule {rule}" if (rule := anomaly.get("rule")) else ""
    yield "anomaly", f"{name} ({kind}{emergency})" if kind != name else f"{name}{emergency}"
    yield "server", str(anomaly.get("server", ""))
    yield "commands", _joined(anomaly.get("commands"))
    yield "codes", _joined(anomaly.get("codes"))
    if "count" in anomaly:
        limits = f"acceptable {anomaly.get('acceptable_count')}"
        slowest = f"slowest {anomaly.get('max_latency_ms')} ms"
        threshold = f"threshold {anomaly.get('threshold_ms')} ms"
        yield "observed", f"{anomaly['count']} ({limits}), {slowest}, {threshold}"
    decided = _part(manifest, "collection").get("decided_realtime_ns")
    if isinstance(decided, int) and 0 <= decided < 1 << 62:
        yield "decided", moment(decided)


def _host(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cifs = _part(manifest, "cifs")
    yield "host", str(manifest.get("host", ""))
    yield "kernel", str(_part(manifest, "kernel").get("release", ""))
    yield "cifs", f"{cifs.get('version')} ({cifs.get('srcversion')})" if cifs else ""
    yield "probe", str(_part(manifest, "probe").get("name", ""))
    yield "agent", str(_part(manifest, "agent").get("version", ""))


def _evidence(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    events = _part(manifest, "events")
    count, first, last = (events.get(key) for key in ("count", "first_ns", "last_ns"))
    if isinstance(first, int) and isinstance(last, int):
        yield "requests", f"{count} over {(last - first) / 1e9:.1f} s"
    yield "in flight", str(_part(manifest, "in_flight").get("count", ""))
    lost = [f"{name} {count}" for name, count in _part(manifest, "losses").items() if count]
    yield "losses", ", ".join(_first(lost, len(lost))) or "none"
    cuts = [c for c in _items(manifest.get("truncations")) if isinstance(c, Mapping)]
    said = (f"{cut.get('file')}: {cut.get('reason')}" for cut in cuts)
    yield from (("cut", line) for line in _first(said, len(cuts)))


def _actions(manifest: Mapping[str, Any]) -> Iterator[str]:
    actions = [a for a in _items(manifest.get("actions")) if isinstance(a, Mapping)]
    if manifest.get("live") is False:
        # A replay runs none of them, for one and the same reason.
        skipped = _joined([action.get("name") for action in actions])
        yield f"not collected, as this is a replay: {skipped or 'nothing'}"
        return
    yield from _first(map(_action, actions), len(actions))


def _action(action: Mapping[str, Any]) -> str:
    name, size, spent = (action.get(key) for key in ("name", "bytes", "duration_ms"))
    state = action.get("error") or "ok"
    return f"{name!s:<12} {size!s:>9} B  {spent!s:>10} ms  {state}"
