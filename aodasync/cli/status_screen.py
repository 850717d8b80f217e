# SPDX-License-Identifier: MIT
"""``aodasync status`` on one screen: what matters first, in 24 lines of 80 columns. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aodasync.cli.durations import duration
from aodasync.host.printable import printable

__all__ = ["narrowed", "summary"]

_LINES: Final = 24
_COLUMNS: Final = 80
_MOST_MOUNTS: Final = 6
_MOST_EPISODES: Final = 4
_MOST_SERVERS: Final = 5


def narrowed(status: Mapping[str, Any], server: str) -> dict[str, Any]:
    """Of mounts, open episodes and servers those alone whose server's name holds ``server``."""
    sought = server.casefold()
    found = dict(status)
    if mounts := status.get("mounts"):
        named = (m for m in mounts.items() if sought in " ".join(map(str, m)).casefold())
        found["mounts"] = dict(named)
    if episodes := status.get("open_episodes"):
        found["open_episodes"] = [e for e in episodes if sought in e["server"].casefold()]
    if servers := status.get("servers"):
        found["servers"] = {k: v for k, v in servers.items() if sought in k.casefold()}
    return found


def summary(status: Mapping[str, Any], server: str = "") -> str:
    """The screen; with ``server`` only what concerns servers whose name holds it."""
    status = narrowed(status, server)
    lines = [
        *_agent(status),
        *_mounts(status),
        *_episodes(status),
        *_servers(status),
        *_losses(status),
        *_cost(status),
    ]
    shown = [printable(line)[:_COLUMNS] for line in lines]
    if len(shown) > _LINES:
        shown = [*shown[: _LINES - 1], "...        more: aodasync status --all"]
    return "\n".join(shown) + "\n"


def _agent(status: Mapping[str, Any]) -> Iterator[str]:
    uptime = duration(round(status.get("uptime_sec", 0) * 1e9))
    yield f"agent      {status.get('version', '')}, up {uptime}, {status.get('config', '')}"
    seeing = str(status.get("probe"))
    if status.get("blind"):
        seeing = f"BLIND: {seeing} does not see the client's requests (aodasync doctor)"
    yield f"watching   {seeing}"


def _mounts(status: Mapping[str, Any]) -> Iterator[str]:
    mounts = [(point, str(text)) for point, text in (status.get("mounts") or {}).items()]
    mounts.sort(key=lambda mount: "NOT USABLE" not in mount[1])
    for place, (point, text) in enumerate(mounts[:_MOST_MOUNTS]):
        yield f"{'mounts' if place == 0 else '':<10} {point}  {text}"
    if len(mounts) > _MOST_MOUNTS:
        yield f"{'':<10} and {len(mounts) - _MOST_MOUNTS} more"
    if not mounts:
        yield "mounts     none"


def _episodes(status: Mapping[str, Any]) -> Iterator[str]:
    found = status.get("open_episodes") or []
    for place, episode in enumerate(found[:_MOST_EPISODES]):
        worst = f", worst {episode['max_latency_ms']:.0f} ms" if episode["max_latency_ms"] else ""
        since = duration(round(episode["for_ms"] * 1e6))
        text = f"{episode['anomaly']} on {episode['server']} for {since}, {episode['count']}{worst}"
        yield f"{'episodes' if place == 0 else '':<10} {text}"
    if not found:
        yield "episodes   none is open"


def _servers(status: Mapping[str, Any]) -> Iterator[str]:
    servers = sorted((status.get("servers") or {}).items(), key=lambda item: -item[1]["per_sec"])
    if servers:
        heads = ("req/s", "median", "p99", "errors", "silent")
        yield f"{'last min.':<10} {'server':<24}" + "".join(head.rjust(9) for head in heads)
    for name, figures in servers[:_MOST_SERVERS]:
        yield (
            f"{'':<10} {name[:24]:<24}{figures['per_sec']:>9.1f}{figures['median_ms']:>7.1f}ms"
            f"{figures['p99_ms']:>7.1f}ms{figures['errors']:>9}{figures['unanswered']:>9}"
        )
    in_flight = status.get("in_flight") or {}
    if oldest := in_flight.get("oldest"):
        many = "s" * (in_flight["count"] != 1)
        yield (
            f"waiting    {in_flight['count']} request{many}, the oldest"
            f" {oldest['age_ms'] / 1e3:.1f} s: {oldest['command']} of {oldest['comm']}"
            f" {oldest['pid']}"
        )


def _losses(status: Mapping[str, Any]) -> Iterator[str]:
    lost = {name: count for name, count in (status.get("losses") or {}).items() if count}
    yield "lost       " + (
        ", ".join(f"{name} {count}" for name, count in lost.items()) or "nothing"
    )
    restarts = status.get("restarts") or {}
    if restarts:
        yield "restarts   " + ", ".join(f"{task} {count}" for task, count in restarts.items())


def _cost(status: Mapping[str, Any]) -> Iterator[str]:
    collector = status.get("collector") or {}
    yield (
        f"bundles    {collector.get('bundles_written', 0)} written,"
        f" {collector.get('bundles_failed', 0)} failed"
    )
    uptime_sec = max(1.0, status.get("uptime_sec", 0))
    yield (
        f"cost       {100 * status.get('cpu_sec', 0) / uptime_sec:.1f} % of a CPU,"
        f" {status.get('private_dirty_bytes', 0) / 1e6:.0f} MB private,"
        f" loop late by {status.get('loop_lag_max_ms', 0):.0f} ms at most"
    )
