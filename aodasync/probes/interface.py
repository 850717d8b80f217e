# SPDX-License-Identifier: MIT
"""What the agent needs of a probe; any loader can stand behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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

    ``steps_ms`` is the time each step of the start took, by name, one after the other but for
    ``ahead``: what the compiler's child reads beside the agent's own imports. ``tried`` holds
    all candidates in the order of preference; ``byte_code`` says whether it was ``compiled`` now,
    out of the ``cache``, or ``imported`` from another host.
    """

    name: str
    kernel: str
    attachments: tuple[Attachment, ...]
    notes: tuple[str, ...]
    steps_ms: Mapping[str, float]
    tried: tuple[Candidate, ...] = ()
    byte_code: str = ""


class Probe(Protocol):
    """An attached probe. Nothing here blocks; ``close`` detaches everything."""

    tables: Mapping[str, Callable[[], Any]]
    """What reads each table of a :class:`~aodasync.evidence.model.Snapshot`; from any thread.

    Raises BpfError.
    """

    @property
    def plan(self) -> ProbePlan:
        """The plan in use."""

    def fileno(self) -> int:
        """Readable once the kernel side wakes its reader, until :meth:`acknowledge`."""

    def acknowledge(self) -> None:
        """A wake-up is about to be served: only the next one makes the descriptor readable."""

    def read_into(self, into: npt.NDArray[np.void]) -> int:
        """Drain as many rows as there is room for to the beginning of ``into``; how many.

        ``into`` is opaque (:data:`aodasync.events.OPAQUE`), of shape (N,).
        """

    @property
    def stopped_short(self) -> bool:
        """Whether the last read met a record that was still being written: others are behind it."""

    def is_quiet(self) -> bool:
        """Whether nothing waits in the ring, is in flight, or inside the client. Costs little."""

    def settle(self) -> None:
        """Do what was put off while rows were read, as no decision needs it."""

    def wanted_stacks(self) -> tuple[int, ...]:
        """Threads whose stacks say what their operations wait for, as of the last look."""

    def set_stacks(self, read_ns: int, stacks: Mapping[int, str | None]) -> None:
        """Take in stacks, read from ``read_ns`` (CLOCK_MONOTONIC) on.

        None: the thread is gone; empty: it could not be read.
        """

    def losses(self) -> Mapping[str, int]:
        """Loss counters by name: ring_full, map_full, status_unseen, ... (see bpf/)."""

    def set_emergency_ns(
        self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
    ) -> None:
        """Per command (index = command code) latency that is urgent at once; 0: never.

        A request that got an interim response is urgent only if its command is in
        ``interim_too``.
        """

    def close(self) -> None:
        """Detach and unmap. Safe to call twice."""
