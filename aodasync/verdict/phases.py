# SPDX-License-Identifier: MIT
"""Where the time of requests went: server and network, or this client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.long_waits import may_wait
from aodasync.events import NS_PER_MS, REQUEST, EventArray, latency_ns, pick
from aodasync.evidence.arrays import distinct, is_in, median, quantile
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import COMMAND_CODES
from aodasync.verdict.waiting import LARGE_ANSWERS, is_about_opens

__all__ = ["Phases", "phases_of"]

_OFTEN: Final = 4


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time of requests went: medians in ms.

    ``wire_ms`` is issued to received (server and network), ``client_ms`` received
    to released, ``usual_wire_ms`` of the requests before the episode. A quarter
    of all requests during it took at most ``quarter_wire_ms``; of the slow ones, nine in ten
    at least ``least_wire_ms``, and nine in ten at most ``most_wire_ms``; their answers came
    over ``slow_for_ms``. ``others`` were not slow meanwhile, and took ``others_wire_ms``.
    ``large_alone``: the slow ones have large answers, and no such answer came quickly
    meanwhile. ``spread`` is how many times as long the slower ones took as the quicker ones of
    the same command (nine in ten against one in ten).
    ``elsewhere`` of the others were on other connections than all of the slow ones.
    """

    slow: int
    slow_for_ms: float
    least_wire_ms: float
    most_wire_ms: float
    others: int
    others_wire_ms: float
    wire_ms: float
    client_ms: float
    usual_wire_ms: float
    quarter_wire_ms: float
    large_alone: bool
    spread: float
    elsewhere: int

    @property
    def client_share(self) -> float:
        """Share of the time after the response had arrived."""
        return self.client_ms / ((self.wire_ms + self.client_ms) or 1.0)


def phases_of(finding: Finding, rows: EventArray, begin_ns: int) -> Phases | None:
    """Phases of the slow requests, against all of that time and those before it."""
    if finding.symptom not in (Symptom.SLOW, Symptom.WAITING):
        return None
    complete = (rows["kind"] == REQUEST) & (rows["received_ns"] != 0)
    complete &= rows["received_ns"] >= rows["issued_ns"]
    complete &= rows["released_ns"] >= rows["received_ns"]
    counted = () if is_about_opens(finding) else finding.commands
    named = [COMMAND_CODES[name] for name in counted if name in COMMAND_CODES]
    rows = pick(rows, complete & (~may_wait(rows) | is_in(rows["command"], named)))
    released, all_wire = rows["released_ns"].astype(np.int64), _wire(rows)
    during = released >= finding.first_ns
    is_slow = latency_ns(rows) >= finding.threshold_ms * NS_PER_MS
    slow, quick = pick(rows, during & is_slow), ~is_slow
    if len(slow) == 0:
        return None
    # Asked for and answered while slow ones were on their way.
    quick &= rows["issued_ns"] > slow["issued_ns"].min()
    quick &= rows["received_ns"] < slow["received_ns"].max()
    wire, before = _wire(slow), all_wire[released < begin_ns]
    others = pick(rows, quick)
    return Phases(
        slow=len(slow),
        slow_for_ms=float(slow["received_ns"].max() - slow["received_ns"].min()) / NS_PER_MS,
        least_wire_ms=quantile(wire, 0.1) / NS_PER_MS,
        most_wire_ms=quantile(wire, 0.9) / NS_PER_MS,
        others=len(others),
        others_wire_ms=median(_wire(others)) / NS_PER_MS if len(others) else 0.0,
        wire_ms=median(wire) / NS_PER_MS,
        client_ms=median(latency_ns(slow).astype(np.int64) - wire) / NS_PER_MS,
        usual_wire_ms=median(before) / NS_PER_MS if len(before) else 0.0,
        quarter_wire_ms=quantile(all_wire[during], 0.25) / NS_PER_MS,
        large_alone=bool(
            is_in(slow["command"], LARGE_ANSWERS).all()
            and not is_in(others["command"], LARGE_ANSWERS).any()
        ),
        spread=_spread(slow, wire),
        elsewhere=int((~is_in(others["connection_id"], distinct(slow["connection_id"]))).sum()),
    )


def _spread(slow: EventArray, wire: npt.NDArray[np.int64]) -> float:
    """Commands differ: each is measured by its own median, if it was slow often enough."""
    relative = wire / max(1.0, median(wire))
    for command in distinct(slow["command"]):
        own = slow["command"] == command
        if np.count_nonzero(own) >= _OFTEN:
            relative[own] = wire[own] / max(1.0, median(wire[own]))
    return quantile(relative, 0.9) / max(quantile(relative, 0.1), 1e-3)


def _wire(rows: EventArray) -> npt.NDArray[np.int64]:
    wire: npt.NDArray[np.int64] = (rows["received_ns"] - rows["issued_ns"]).astype(np.int64)
    return wire
