# SPDX-License-Identifier: MIT
"""The files of a bundle that are not an action's: at its beginning, and at its end. Blocks."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aodasync.actions import Action, ActionResult
from aodasync.actions.running import not_run
from aodasync.bundle.inflight import encode_in_flight
from aodasync.bundle.judging import UNDECIDED, Case, Judge, reach_verdict
from aodasync.bundle.manifest import ClockPair, build_manifest, dump
from aodasync.bundle.operations import encode_operations
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.rows import most_rows, truncations
from aodasync.config.model import Config
from aodasync.events import EventArray
from aodasync.evidence import Connection, EvidenceSource, Trigger
from aodasync.operations import OperationArray

__all__ = ["Look", "Writer"]

# What the first manifest says of each action, which is read only if there is no second one.
_NOT_REACHED = "not reached: the agent ended first"

_MB = 1024 * 1024
_LEAST_FREE_BYTES = 4 * _MB


@dataclass(frozen=True, slots=True)
class Look:
    """What the pipeline knows at one moment; taken on the loop, written by a thread."""

    in_flight: EventArray
    operations: OperationArray
    clocks: ClockPair  # after the requests in flight: no age is negative
    recorded: int
    connections: Mapping[int, Connection]
    shares: Mapping[tuple[int, int], str]
    losses: Mapping[str, int]
    facts: Mapping[str, Any]

    @classmethod
    def at(cls, source: EvidenceSource) -> Look:
        """Look now."""
        return cls(
            in_flight=source.in_flight(),
            operations=source.operations(),
            clocks=ClockPair(time.monotonic_ns(), time.time_ns()),
            recorded=source.recorded(),
            connections=dict(source.connections()),
            shares=dict(source.shares()),
            losses=dict(source.losses()),
            facts=dict(source.facts()),
        )


@dataclass(slots=True)
class Writer:
    """Writes what the pipeline knows into one bundle's directory.

    ``held`` is how many rows the recorder had at the beginning.
    """

    bundle: PartialBundle
    trigger: Trigger
    config: Config
    live: bool
    before: Look
    held: int = 0

    def begin(self, planned: tuple[Action, ...], rows: EventArray) -> None:
        """Create the directory, and in it what would be gone first.

        ``rows`` are the recorder's as of ``before``; they are on disk then, and not kept.
        The manifest says what is known now, so that a collection which is cut off
        can be made a bundle by the next start.

        Raises:
            OSError: it could not be written, or there is hardly any space left.
        """
        free_bytes = self.bundle.free_bytes()
        if free_bytes < _LEAST_FREE_BYTES + 2 * rows.nbytes:
            raise OSError(errno.ENOSPC, f"Only {free_bytes} bytes of disk space are free")
        look = self.before
        now_ns = look.clocks.monotonic_ns if self.live else self.trigger.decided_monotonic_ns
        self.bundle.create()
        in_flight = encode_in_flight(look.in_flight, look.connections, look.shares, now_ns)
        self.bundle.write("inflight.json", in_flight)
        self.bundle.write("operations.json", encode_operations(look.operations, now_ns))
        self.held = len(rows)
        kept = rows[-self._most_rows() :]
        self.bundle.write_events(kept)
        manifest = self._manifest(
            look,
            kept,
            verdict=UNDECIDED,
            results=tuple(replace(not_run(a, _NOT_REACHED), file=a.file) for a in planned),
            truncations=truncations(kept, len(kept), left_out=len(rows) - len(kept)),
            volatile_ms=None,
        )
        self.bundle.write("manifest.json", dump(manifest))

    def conclude(
        self,
        after: Look,
        added: EventArray,
        results: tuple[ActionResult, ...],
        judge: Judge,
        volatile_ms: float | None,
    ) -> Mapping[str, Any]:
        """Write all requests and, on the judge's verdict, the manifest; returns the verdict.

        ``added`` are the rows recorded from ``before`` to ``after``, as far as they are held.
        """
        earlier, later = self.bundle.extend_events(added, self._most_rows())
        rows = self.bundle.events()
        left_out = truncations(
            rows,
            earlier,
            missing=after.recorded - self.before.recorded - len(added),
            left_out=self.held - earlier + len(added) - later,
        )
        case = Case(
            trigger=self.trigger,
            rows=rows,
            in_flight=self.before.in_flight,
            connections=after.connections,
            losses=after.losses,
            results=results,
            directory_fd=self.bundle.directory_fd,
        )
        verdict = reach_verdict(judge, case)
        manifest = self._manifest(
            after,
            rows,
            verdict=verdict,
            results=results,
            truncations=[*left_out, *_cut_files(results)],
            volatile_ms=volatile_ms,
        )
        self.bundle.replace("manifest.json", dump(manifest))
        return verdict

    def _manifest(
        self,
        look: Look,
        rows: EventArray,
        *,
        verdict: Mapping[str, Any],
        results: tuple[ActionResult, ...],
        truncations: list[dict[str, Any]],
        volatile_ms: float | None,
    ) -> dict[str, Any]:
        name = self.trigger.anomaly
        return build_manifest(
            bundle=str(self.bundle.name),
            trigger=self.trigger,
            anomaly=next((a for a in self.config.anomalies if a.name == name), None),
            facts=look.facts,
            live=self.live,
            verdict=verdict,
            actions=results,
            rows=rows,
            in_flight=len(self.before.in_flight),
            operations=len(self.before.operations),
            losses=look.losses,
            connections=look.connections,
            shares=look.shares,
            started=self.before.clocks,
            ended=look.clocks,
            truncations=truncations,
            volatile_ms=volatile_ms,
        )

    def _most_rows(self) -> int:
        """As fit into a quarter of the disk budget: one bundle must not displace all others."""
        return most_rows(round(self.config.cleanup.max_total_log_size_mb * _MB) // 4)


def _cut_files(results: tuple[ActionResult, ...]) -> list[dict[str, Any]]:
    return [
        {"file": result.file, "reason": "cut to max_action_bytes", "kept_bytes": result.bytes}
        for result in results
        if result.truncated
    ]
