# SPDX-License-Identifier: MIT
"""This host as an evidence source: the attached probe, the recorder, and what was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aodasync.errors import BpfError
from aodasync.events import EventArray
from aodasync.evidence.model import Snapshot
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.facts import host_facts
from aodasync.probes.interface import Probe

__all__ = ["LiveEvidence"]


class LiveEvidence:
    """Implements EvidenceSource; ``probe`` is None until the client could be probed.

    ``own_losses`` returns what the agent itself lost, by stage; a snapshot's ``losses``
    hold it beside the probe's. ``own_facts`` returns what the agent knows besides: the
    snapshot's ``facts`` hold it beside the host's. ``unreadable`` has the last error of
    each table that could not be read, and how often, until somebody clears it.
    """

    def __init__(
        self,
        recorder: FlightRecorder,
        own_losses: Callable[[], Mapping[str, int]] = dict,
        own_facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.probe: Probe | None = None
        self.unreadable: dict[str, tuple[str, int]] = {}
        self._failures = 0
        self._own_losses = own_losses
        self._own_facts = own_facts
        self._recorder = recorder

    @property
    def live(self) -> bool:
        """This host is the one observed."""
        return True

    def snapshot(self, *tables: str) -> Snapshot:
        """These tables of the probe, and ``facts``, as they are now; all if none is named.

        A table that cannot be read costs its own content alone.
        """
        probe = self.probe
        found: dict[str, Any] = {}
        errors: dict[str, str] = {}
        if probe is not None:
            for name in (each for each in tables or probe.tables if each != "facts"):
                try:
                    found[name] = probe.tables[name]()
                except (BpfError, OSError) as error:
                    errors[name] = str(error)
                    self._failures += 1
                    self.unreadable[name] = str(error), self.unreadable.get(name, ("", 0))[1] + 1
        if not tables or "losses" in tables:
            own = {"bpf_reads": self._failures, **self._own_losses()}
            found["losses"] = {**found.get("losses", {}), **own}
        if not tables or "facts" in tables:
            plan = asdict(probe.plan) if probe else None
            found["facts"] = {**host_facts(), "probe": plan, **self._own_facts()}
        return Snapshot(**found, errors=errors)

    def settle(self) -> None:
        """Have the probe do what it put off."""
        if self.probe is not None:
            self.probe.settle()

    def events(self, since: int = 0) -> EventArray:
        """A copy of the flight recorder, without the first ``since`` rows ever."""
        return self._recorder.snapshot(since)

    def recorded(self) -> int:
        """Rows ever recorded."""
        return self._recorder.appended
