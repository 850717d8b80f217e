# SPDX-License-Identifier: MIT
"""Which settings a running agent cannot take over from a file that is read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from aodasync.config.model import Config

__all__ = ["changes_needing_restart"]


def _of_tcpdump(key: str) -> Callable[[Config], object]:
    return lambda config: "tcpdump" in config.captures and getattr(config.collector, key)


_FIXED: Final[Mapping[str, Callable[[Config], object]]] = MappingProxyType(
    {
        "aod_output_dir": lambda config: config.output_dir,  # prepared and watched
        "watcher.captures": lambda config: frozenset(config.captures),  # children
        "collector.tcpdump_mb": _of_tcpdump("tcpdump_mb"),  # their arguments
        "collector.tcpdump_packet_bytes": _of_tcpdump("tcpdump_packet_bytes"),
        "control.group": lambda config: config.control.group,  # the socket's
        "recorder.max_events": lambda config: config.recorder.max_events,  # preallocated
        "recorder.ring_bytes": lambda config: config.recorder.ring_bytes,  # mapped
        "recorder.file_names": lambda config: config.recorder.file_names,  # compiled in
    }
)
"""By key: what the agent sets up once, at its start."""


def changes_needing_restart(old: Config, new: Config) -> tuple[str, ...]:
    """The keys of settings that differ and come into effect at the next start only."""
    return tuple(key for key, value in _FIXED.items() if value(old) != value(new))
