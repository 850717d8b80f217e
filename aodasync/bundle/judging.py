# SPDX-License-Identifier: MIT
"""Where a bundle gets its verdict: what a judge is given, and what if it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aodasync.actions import ActionResult
from aodasync.events import EventArray
from aodasync.evidence import Connection, Trigger

__all__ = ["UNDECIDED", "Case", "Judge", "reach_verdict", "undecided"]

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


def reach_verdict(judge: Judge, case: Case) -> Mapping[str, Any]:
    """The judge's verdict, or ``unknown`` with the reason if it fails."""
    try:
        return judge(case)
    except Exception as error:  # noqa: BLE001  # evidence without a verdict is still evidence
        return {**UNDECIDED, "sentence": f"The verdict failed: {type(error).__name__}: {error}"}
