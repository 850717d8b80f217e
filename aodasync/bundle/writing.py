# SPDX-License-Identifier: MIT
"""The files of a bundle that are not an action's: at its beginning, and at its end. Blocks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aodasync.actions import Action, ActionResult
from aodasync.actions.running import dropped, not_run
from aodasync.bundle.events_file import most_rows, truncations
from aodasync.bundle.files_table import FILES, describe_files
from aodasync.bundle.json_tables import encode_in_flight, encode_operations, encode_table
from aodasync.bundle.manifest import build_manifest, dump
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.retention import MEGABYTE
from aodasync.bundle.samples_file import SAMPLES, encode
from aodasync.config.model import Config
from aodasync.events import EventArray
from aodasync.evidence.file_book import MAX_REQUESTS
from aodasync.evidence.model import Sample, Snapshot, Trigger
from aodasync.host.network_namespace import own_netns
from aodasync.verdict.judge import NOT_JUDGED, Verdict, judge
from aodasync.verdict.waiting_threads import Inside

__all__ = ["Writer"]

# What the first manifest says of each action, which is read only if there is no second one.
_NOT_REACHED = "not reached: the agent ended first"

_LEAST_FREE_BYTES = 4 * MEGABYTE


@dataclass(slots=True)
class Writer:
    """Writes what the pipeline knows into one bundle's directory.

    ``recorded`` are the rows ever recorded ``before``, ``held`` those that were still there.
    """

    bundle: PartialBundle
    trigger: Trigger
    config: Config
    live: bool
    before: Snapshot
    recorded: int
    held: int = 0
    verdict: Verdict | None = None
    _left_out: list[dict[str, Any]] | None = None

    def begin(self, rows: EventArray) -> None:
        """Write into the directory what would be gone first.

        ``rows`` are the recorder's of that time; they are on disk then, and not kept.

        Raises:
            OSError: it could not be written, or there is hardly any space left.
        """
        free_bytes = self.bundle.free_bytes()
        if free_bytes < _LEAST_FREE_BYTES + 2 * rows.nbytes:
            raise OSError(errno.ENOSPC, f"Only {free_bytes} bytes of disk space are free")
        before = self.before
        now_ns = before.clocks.monotonic_ns if self.live else self.trigger.decided_monotonic_ns
        in_flight = encode_in_flight(
            before.in_flight,
            before.connections,
            before.shares,
            now_ns,
            before.files.of(before.in_flight),
        )
        self.bundle.write("inflight.json", in_flight)
        self.bundle.write("operations.json", encode_operations(before.operations, now_ns))
        self.held = len(rows)
        self.bundle.write_events(rows[-self._most_rows() :])

    def outline(self, planned: tuple[Action, ...], counted: Snapshot) -> None:
        """Write a manifest of what is known before the actions ran.

        With it a collection that is cut off can be made a bundle by the next start. ``counted``
        has what is not of the tables ``before``: losses, figures and facts.

        Raises:
            OSError: it could not be written.
        """
        rows = self.bundle.events()
        manifest = self._manifest(
            replace(
                self.before,
                losses=counted.losses,
                figures=counted.figures,
                facts=counted.facts,
                errors={**self.before.errors, **counted.errors},
            ),
            rows,
            verdict=NOT_JUDGED,
            results=tuple(replace(not_run(a, _NOT_REACHED), file=a.file) for a in planned),
            truncations=truncations(rows, len(rows), left_out=self.held - len(rows)),
            volatile_ms=None,
        )
        self.bundle.write("manifest.json", dump(manifest))

    def conclude(
        self,
        *,
        after: Snapshot,
        meanwhile: Inside | None,
        added: EventArray,
        recorded: int,
        results: tuple[ActionResult, ...],
        sample: Callable[[], Sample] | None,
        volatile_ms: float | None,
    ) -> Verdict:
        """Write all requests and, with the verdict, the manifest; returns the verdict.

        It may be called again with other ``results`` when it, or what came after it, found
        no room on the disk. ``added`` are the rows recorded since ``before``, as far as they
        are held, of the ``recorded`` ever; ``meanwhile`` is who was inside the client since
        (None in a replay), ``sample`` takes a sample of now.
        """
        if self._left_out is None:
            earlier, later = self.bundle.extend_events(added, self._most_rows())
            self._left_out = truncations(
                self.bundle.events(),
                earlier,
                missing=recorded - self.recorded - len(added),
                left_out=self.held - earlier + len(added) - later,
            )
        rows = self.bundle.events()
        if self.verdict is None:
            at_end = sample() if sample is not None else None
            samples = (*self.trigger.samples, *([] if at_end is None else [at_end]))
            self.bundle.replace(SAMPLES, encode(samples))
            self.verdict = judge(
                self.trigger,
                rows=rows,
                in_flight=self.before.in_flight,
                operations=self.before.operations,
                meanwhile=meanwhile,
                # A failover may have led the same connection to another server by now.
                connections={**after.connections, **self.before.connections},
                shares=after.shares,
                later=at_end,
                files=after.files,
                mounts=after.facts.get("mounts"),
                own_netns=own_netns() if self.live else 0,
            )
            first = max(0, len(rows) - MAX_REQUESTS)
            if files := describe_files(after.files.of(rows[first:]), first):
                self.bundle.replace(FILES, encode_table(files))
        manifest = self._manifest(
            after,
            rows,
            verdict=self.verdict,
            results=results,
            truncations=[*self._left_out, *_cut_files(results)],
            volatile_ms=volatile_ms,
        )
        self.bundle.replace("manifest.json", dump(manifest))
        return self.verdict

    def drop_largest(self, results: tuple[ActionResult, ...]) -> tuple[ActionResult, ...] | None:
        """Remove the largest file of an action; the results then, or None if there is no more."""
        largest = max((r for r in results if r.file), key=lambda result: result.bytes, default=None)
        if largest is None or largest.file is None:
            return None
        self.bundle.drop(largest.file)
        return tuple(dropped(each) if each is largest else each for each in results)

    def _manifest(
        self,
        after: Snapshot,
        rows: EventArray,
        *,
        verdict: Verdict,
        results: tuple[ActionResult, ...],
        truncations: list[dict[str, Any]],
        volatile_ms: float | None,
    ) -> dict[str, Any]:
        name = self.trigger.anomaly
        return build_manifest(
            bundle=str(self.bundle.name),
            trigger=self.trigger,
            anomaly=next((a for a in self.config.anomalies if a.name == name), None),
            live=self.live,
            verdict=verdict,
            actions=results,
            rows=rows,
            before=self.before,
            after=after,
            truncations=truncations,
            volatile_ms=volatile_ms,
        )

    def _most_rows(self) -> int:
        """As fit into a quarter of the disk budget: one bundle must not displace all others."""
        return most_rows(round(self.config.cleanup.max_total_log_size_mb * MEGABYTE) // 4)


def _cut_files(results: tuple[ActionResult, ...]) -> list[dict[str, Any]]:
    return [
        {"file": result.file, "reason": "cut to max_action_bytes", "kept_bytes": result.bytes}
        for result in results
        if result.truncated
    ]
