# SPDX-License-Identifier: MIT
"""A manifest as a page of text. It is untrusted: whatever its shape, a page comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["describe", "printable"]


def describe(manifest: Mapping[str, Any]) -> str:
    """The verdict, what was found, on what host, what was collected, and what is missing."""
    pairs = [*_verdict(manifest), *_anomaly(manifest), *_host(manifest), *_evidence(manifest)]
    width = max(len(label) for label, _ in pairs)
    lines = [f"{label:<{width}}  {text}" for label, text in pairs if text]
    return "\n".join([printable(line) for line in (*lines, "", *_actions(manifest))]) + "\n"


def printable(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _verdict(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    verdict = _part(manifest, "verdict")
    yield "bundle", str(manifest.get("bundle", ""))
    yield "verdict", f"{verdict.get('cause', 'unknown')}: {verdict.get('sentence', '')}"
    for key, value in _part(verdict, "evidence").items():
        if not isinstance(value, Mapping | list):
            yield "", f"{key} = {value}"
    if refuted := verdict.get("refuted_by"):
        yield "refuted by", str(refuted)


def _anomaly(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    anomaly = _part(manifest, "anomaly")
    name, kind = anomaly.get("name", ""), anomaly.get("type", "")
    emergency = ", emergency" if anomaly.get("emergency") else ""
    yield "anomaly", f"{name} ({kind}{emergency})" if kind != name else f"{name}{emergency}"
    yield "server", str(anomaly.get("server", ""))
    yield "commands", ", ".join(map(str, _items(anomaly.get("commands"))))
    yield "codes", ", ".join(map(str, _items(anomaly.get("codes"))))
    if "count" in anomaly:
        limits = f"acceptable {anomaly.get('acceptable_count')}"
        slowest = f"slowest {anomaly.get('max_latency_ms')} ms"
        threshold = f"threshold {anomaly.get('threshold_ms')} ms"
        yield "observed", f"{anomaly['count']} ({limits}), {slowest}, {threshold}"
    decided = _part(manifest, "collection").get("decided_realtime_ns")
    if isinstance(decided, int) and 0 <= decided < 1 << 62:
        time = datetime.fromtimestamp(decided / 1e9, tz=UTC)
        yield "decided", f"{time:%Y-%m-%d %H:%M:%S.%f} UTC"


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
    yield "losses", ", ".join(lost) or "none"
    for cut in _items(manifest.get("truncations")):
        if isinstance(cut, Mapping):
            yield "cut", f"{cut.get('file')}: {cut.get('reason')}"


def _actions(manifest: Mapping[str, Any]) -> Iterator[str]:
    actions = [a for a in _items(manifest.get("actions")) if isinstance(a, Mapping)]
    if manifest.get("live") is False:
        # A replay runs none of them, for one and the same reason.
        skipped = ", ".join(str(action.get("name")) for action in actions)
        yield f"not collected, as this is a replay: {skipped or 'nothing'}"
        return
    for action in actions:
        name, size, spent = (action.get(key) for key in ("name", "bytes", "duration_ms"))
        state = action.get("error") or "ok"
        yield f"{name!s:<12} {size!s:>9} B  {spent!s:>10} ms  {state}"
