# SPDX-License-Identifier: MIT
"""What a detector is: rows and views in, firings out.

On its way to a bundle, what a detector sees changes form five times: rows of a batch
that count (``Hit``), a window or look that fires (:class:`Firing`) with its figures
(``Finding``), the episode that begins with it (``Started``), an order for a bundle
(``Trigger``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from aodasync.config.model import Anomaly
from aodasync.detection.connections import Connections
from aodasync.events import EventArray, OperationArray
from aodasync.evidence.model import Finding

__all__ = [
    "NOTHING_URGENT",
    "Context",
    "CutOff",
    "Detector",
    "Firing",
    "Held",
    "Signal",
    "Urgency",
    "View",
]


@dataclass(frozen=True, slots=True)
class Context:
    """What detectors share.

    ``interval_ns`` is ``watch_interval_sec``; ``connections`` have seen a batch before the
    detectors do, and name servers; ``anomalies`` are all that are configured.
    """

    interval_ns: int
    connections: Connections
    anomalies: tuple[Anomaly, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What is there at ``now_ns`` (CLOCK_MONOTONIC), once an interval.

    ``in_flight`` (dtype EVENT) and ``operations`` (dtype OPERATION) have shape (N,),
    oldest first; they are empty where nothing is live.
    """

    now_ns: int
    in_flight: EventArray
    operations: OperationArray


@dataclass(frozen=True, slots=True)
class Firing:
    """A window at or over its limit, with its figures so far.

    ``window`` is its number, ``first`` whether it has just become so, ``added``
    how many events are new since it last fired (all of them at first).
    """

    window: int
    first: bool
    added: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Held:
    """What keeps the open episodes of these connections from ending, and starts none."""

    connections: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CutOff:
    """Requests of these connections were cut off by what seemed to be an idle reconnect."""

    connections: tuple[int, ...]


Signal: TypeAlias = Firing | Held | CutOff


@dataclass(frozen=True, slots=True)
class Urgency:
    """What the kernel side shall report at once instead of with its batch.

    ``latency_ns`` maps command codes to the latency that is urgent; after an interim
    response only that of the commands in ``announced_too`` is.
    """

    latency_ns: Mapping[int, int]
    announced_too: frozenset[int] = frozenset()

    def merge(self, other: Urgency) -> Urgency:
        """Both: the lower latency of each command."""
        codes = {*self.latency_ns, *other.latency_ns}
        lowest = {
            code: min(each.latency_ns[code] for each in (self, other) if code in each.latency_ns)
            for code in codes
        }
        return Urgency(lowest, self.announced_too | other.announced_too)


NOTHING_URGENT: Final = Urgency({})


class Detector(Protocol):
    """One configured anomaly. Pure: rows and the clock are arguments.

    Subclasses override what they need. Whatever they raise costs them their state,
    and no other detector a row (see :class:`aodasync.detection.engine.Engine`).
    """

    watches_in_flight: ClassVar[bool] = False
    """Whether :meth:`look` uses the requests in flight and the operations."""

    @property
    def awaits(self) -> bool:
        """Whether a look may find something though nothing comes, and nothing is in flight."""
        return False

    def observe(self, rows: EventArray) -> Iterable[Signal]:  # noqa: ARG002
        """Take a batch in: shape (N,), dtype EVENT, oldest first."""
        return ()

    def look(self, view: View) -> Iterable[Signal]:  # noqa: ARG002
        """Look around, once an interval."""
        return ()

    def urgency(self) -> Urgency:
        """What the kernel side shall report at once."""
        return NOTHING_URGENT

    def forgotten(self) -> int:
        """How much it has forgotten for lack of room, since it was made."""
        return 0

    def export(self) -> Any:
        """What it has learnt, as plain JSON values; None for a detector that does not learn."""
        return None

    def restore(self, exported: Any) -> None:
        """Take up what :meth:`export` returned. Raises ValueError, and changes nothing then."""
        del exported  # nothing was learnt

    def usual(self) -> Iterable[Mapping[str, Any]]:
        """What is usual: ``server``, ``command`` (name) and the learnt median in ``ms`` of each."""
        return ()
