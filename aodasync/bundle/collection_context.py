# SPDX-License-Identifier: MIT
"""What a collection works with, and what its actions get of the anomaly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from aodasync.actions import Action, ActionContext
from aodasync.actions.crash_memory import CrashMemory
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.events import OperationArray
from aodasync.evidence.arrays import distinct
from aodasync.evidence.model import EvidenceSource, Sample, Snapshot, Trigger
from aodasync.host.network_namespace import own_netns
from aodasync.process.children import Children
from aodasync.process.stop_deadline import StopDeadline

__all__ = ["CollectionContext", "action_context"]

_LASTING_NS: Final = 250_000_000


@dataclass(frozen=True, slots=True)
class CollectionContext:
    """What all collections share: limits, sources, slots, and the deadline of a stop."""

    config: Config
    output: OutputDirectory
    source: EvidenceSource
    slots: asyncio.Semaphore
    guard: asyncio.Lock
    stop: StopDeadline
    captures: tuple[Action, ...]
    children: Children
    sample: Callable[[], Sample] | None
    memory: CrashMemory | None


def action_context(
    trigger: Trigger, shared: CollectionContext, before: Snapshot, directory_fd: int
) -> ActionContext:
    """What the actions of a bundle are given; ``before`` are the tables at the decision."""
    limits = shared.config.collector
    return ActionContext(
        since_realtime_ns=_began_realtime_ns(trigger) - round(limits.look_back_sec * 1e9),
        timeout_sec=limits.action_timeout_sec,
        max_bytes=limits.max_action_bytes,
        directory_fd=directory_fd,
        file="",
        children=shared.children,
        ports=tuple(sorted({c.port for c in before.connections.values() if c.port})),
        netns=tuple(sorted({c.netns for c in before.connections.values()} - {0, own_netns()})),
        servers=_servers(trigger, before),
        waiting=(*distinct(before.in_flight["pid"]), *distinct(_lasting(before)["pid"])),
    )


def _servers(trigger: Trigger, before: Snapshot) -> frozenset[str]:
    """What the anomaly's server is called; nothing for a snapshot."""
    if trigger.finding is None:
        return frozenset()
    names = {trigger.finding.server}
    for number in trigger.finding.connections:
        if (connection := before.connections.get(number)) is not None:
            names |= {connection.server, connection.address}
    return frozenset(name.casefold() for name in names)


def _lasting(at: Snapshot) -> OperationArray:
    """The operations that have lasted for a quarter of a second."""
    ends_ns = at.operations["started_ns"] + np.uint64(_LASTING_NS)
    lasting: OperationArray = at.operations[ends_ns <= at.clocks.monotonic_ns]
    return lasting


def _began_realtime_ns(trigger: Trigger) -> int:
    """When the episode began, on the wall clock."""
    if trigger.finding is None or not trigger.finding.first_ns:
        return trigger.decided_realtime_ns
    lasted_ns = trigger.decided_monotonic_ns - trigger.finding.first_ns
    return trigger.decided_realtime_ns - max(0, lasted_ns)
