# SPDX-License-Identifier: MIT
"""What a bundle says, on half a screen. Its manifest is untrusted: any shape makes a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aodasync.bundle.episode import past_episode
from aodasync.cli.why import explain, labelled
from aodasync.host.local_time import moment
from aodasync.host.printable import printable

__all__ = ["summary"]

_WIDTH: Final = 100
_MOST_NAMED: Final = 8


def summary(manifest: Mapping[str, Any], width: int = _WIDTH) -> str:
    """What happened, when, why, who suffered, what to do next; and what is in the bundle."""
    episode = past_episode(manifest, str(manifest.get("bundle", "")))
    if episode is None:
        lines, said = [], [("taken", _taken(manifest)), ("bundle", str(manifest.get("bundle", "")))]
    else:  # without its number, which other hosts have, too
        lines, said = explain(episode, now_ns=None, width=width)[:-1], []
    for label, text in (*said, *_contents(manifest)):
        lines += labelled(label, text, most=2, width=width)
    return "".join(f"{printable(line)}\n" for line in lines)


def _contents(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kernel = _part(manifest, "kernel").get("release", "")
    replayed = ", a replay" if manifest.get("live") is False else ""
    yield "host", f"{manifest.get('host', '')}, Linux {kernel}{replayed}"
    yield "holds", _held(manifest)
    actions = [a for a in _list(manifest.get("actions")) if isinstance(a, Mapping)]
    failed = [f"{a.get('name')} ({a['error']})" for a in actions if a.get("error")]
    if failed and not replayed:
        yield "lacks", _named(failed)
    lost = [f"{name} {count}" for name, count in _part(manifest, "losses").items() if count]
    if lost:
        yield "lost", _named(lost)


def _held(manifest: Mapping[str, Any]) -> str:
    events = _part(manifest, "events")
    first_ns, last_ns = _whole(events.get("first_ns")), _whole(events.get("last_ns"))
    known = first_ns is not None and last_ns is not None
    span = f" over {((last_ns or 0) - (first_ns or 0)) / 1e9:.1f} s" if known else ""
    waiting = _part(manifest, "in_flight").get("count")
    in_flight = f", {waiting} in flight" if waiting else ""
    count = events.get("count", 0)
    return f"{count} request{'s' * (count != 1)}{span}{in_flight}"


def _taken(manifest: Mapping[str, Any]) -> str:
    decided_ns = _whole(_part(manifest, "collection").get("decided_realtime_ns"))
    if decided_ns is None:
        return "at a time that is not known"
    return f"{moment(decided_ns)}, on request"


def _named(found: list[str]) -> str:
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more


def _part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else None
