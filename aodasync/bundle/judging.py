# SPDX-License-Identifier: MIT
"""Where a bundle gets its verdict: what a judge is given, and what if it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aodasync.actions import ActionResult
from aodasync.detection.figures import figures_of
from aodasync.detection.verdict import verdict
from aodasync.events import EventArray
from aodasync.evidence import Connection, Sample, Trigger

__all__ = ["UNDECIDED", "Case", "Judge", "judge_by_rules", "reach_verdict", "undecided"]

UNDECIDED: Final[Mapping[str, Any]] = {
    "cause": "unknown",
    "sentence": "The cause was not determined.",
    "evidence": {},
}
"""The verdict of a bundle that nobody judged."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict is reached upon.

    ``rows`` and ``in_flight`` (at the decision) have shape (N,), dtype EVENT.
    ``directory_fd`` is the open directory with the files of ``results``.
    """

    trigger: Trigger
    rows: EventArray
    in_flight: EventArray
    connections: Mapping[int, Connection]
    losses: Mapping[str, int]
    results: tuple[ActionResult, ...]
    directory_fd: int


Judge: TypeAlias = Callable[[Case], Mapping[str, Any]]
"""Reaches a verdict: ``cause``, ``sentence``, ``evidence``. Called in a worker thread."""


def undecided(_case: Case) -> Mapping[str, Any]:
    """The judge that never decides."""
    return UNDECIDED


def judge_by_rules(sample: Callable[[], Sample] | None) -> Judge:
    """The judge that goes by :data:`aodasync.detection.rules.RULES`.

    ``sample`` takes one of the surroundings as they are when the evidence has been
    collected; None where nothing is live.
    """

    def judge(case: Case) -> Mapping[str, Any]:
        trigger = case.trigger
        if trigger.finding is None:
            return {
                **UNDECIDED,
                "sentence": "A snapshot, not an anomaly: there is nothing to judge.",
            }
        figures = figures_of(
            trigger.finding,
            rows=case.rows,
            in_flight=case.in_flight,
            connections=case.connections,
            samples=trigger.samples,
            later=sample() if sample is not None else None,
            now_ns=trigger.decided_monotonic_ns,
        )
        return verdict(figures)

    return judge


def reach_verdict(judge: Judge, case: Case) -> Mapping[str, Any]:
    """The judge's verdict, or ``unknown`` with the reason if it fails."""
    try:
        return judge(case)
    except Exception as error:  # noqa: BLE001  # evidence without a verdict is still evidence
        return {**UNDECIDED, "sentence": f"The verdict failed: {type(error).__name__}: {error}"}
