# SPDX-License-Identifier: MIT
"""What the agent needs of a probe; any loader can stand behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aodasync.events import EventArray
from aodasync.evidence import Connection
from aodasync.operations import OperationArray

__all__ = ["Attachment", "Candidate", "Probe", "ProbePlan"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """One probe point: ``role`` (alloc, received, release, ...), how and where it is attached."""

    role: str
    method: str
    target: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was considered for a role, whether it was chosen, and why or why not."""

    role: str
    target: str
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What was chosen for the running kernel, and why; logged at start and kept in manifests.

    ``steps_ms`` is the time each step of the start took, by name; ``tried`` holds all
    candidates in the order of preference.
    """

    name: str
    kernel: str
    attachments: tuple[Attachment, ...]
    notes: tuple[str, ...]
    steps_ms: Mapping[str, float]
    tried: tuple[Candidate, ...] = ()


class Probe(Protocol):
    """An attached probe. Nothing here blocks; ``close`` detaches everything."""

    @property
    def plan(self) -> ProbePlan:
        """The plan in use."""

    def fileno(self) -> int:
        """Descriptor of the ring: readable when events wait; for ``loop.add_reader``."""

    def read(self, max_events: int) -> EventArray:
        """Drain up to ``max_events`` rows; an empty array when there are none."""

    def in_flight(self) -> EventArray:
        """Rows of the requests in flight, oldest first; ASYNC_RESPONSE: an interim one came."""

    def operations(self) -> OperationArray:
        """Operations inside the client, oldest first, and what those wait for that last."""

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far, by connection id."""

    def shares(self) -> Mapping[tuple[int, int], str]:
        """Shares seen so far, ``//server/share``, by session id and tree id."""

    def losses(self) -> Mapping[str, int]:
        """Loss counters by name: ring_full, map_full, status_unseen, ... (see bpf/)."""

    def figures(self) -> Mapping[str, int]:
        """What else is counted: records, wake-ups, requests rebuilt, runs that were skipped."""

    def set_emergency_ns(
        self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
    ) -> None:
        """Per command (index = command code) latency that is urgent at once; 0: never.

        A request that got an interim response is urgent only if its command is in
        ``interim_too``.
        """

    def close(self) -> None:
        """Detach and unmap. Safe to call twice."""
