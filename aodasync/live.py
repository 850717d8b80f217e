# SPDX-License-Identifier: MIT
"""This host as an evidence source: the attached probe, the recorder, and what they lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from aodasync.events import EVENT, EventArray
from aodasync.evidence import Connection
from aodasync.host import host_facts
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.probes.interface import Probe
from aodasync.recorder import FlightRecorder

__all__ = ["LiveEvidence"]


class LiveEvidence:
    """Implements EvidenceSource; ``probe`` is None until the client could be probed."""

    def __init__(self, recorder: FlightRecorder) -> None:
        self.probe: Probe | None = None
        self._recorder = recorder

    @property
    def live(self) -> bool:
        """This host is the one observed."""
        return True

    def events(self, since: int = 0) -> EventArray:
        """A copy of the flight recorder, without the first ``since`` rows ever."""
        return self._recorder.snapshot(since)

    def recorded(self) -> int:
        """Rows ever recorded."""
        return self._recorder.appended

    def in_flight(self) -> EventArray:
        """Requests in flight now."""
        return self.probe.in_flight() if self.probe else np.zeros(0, EVENT)

    def operations(self) -> OperationArray:
        """Operations inside the client now."""
        return self.probe.operations() if self.probe else NO_OPERATIONS

    def losses(self) -> Mapping[str, int]:
        """The probe's loss counters."""
        return self.probe.losses() if self.probe else {}

    def figures(self) -> Mapping[str, int]:
        """What else the probe counts: records, wake-ups, requests that were rebuilt."""
        return self.probe.figures() if self.probe else {}

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far."""
        return self.probe.connections() if self.probe else {}

    def shares(self) -> Mapping[tuple[int, int], str]:
        """Shares seen so far, by session id and tree id."""
        return self.probe.shares() if self.probe else {}

    def facts(self) -> Mapping[str, Any]:
        """The host, the agent, and the probe in use."""
        return {**host_facts(), "probe": asdict(self.probe.plan) if self.probe else None}
