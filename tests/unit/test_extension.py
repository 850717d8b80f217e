# SPDX-License-Identifier: MIT
"""A detector and an action of one's own: a class, a dataclass, a function, and rows of tables.

No other module is edited or patched.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from aodasync import config as config_room
from aodasync.actions import BUILTIN, Action, ActionContext, Collected, Cost
from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.cli.check_config import check_config
from aodasync.config.anomalies import ANOMALY_TYPES, AnomalyType
from aodasync.config.kinds import Number
from aodasync.config.section import Setting
from aodasync.detection.detector import Context, Detector, Firing, Signal, Urgency
from aodasync.detection.engine import DETECTORS, Engine
from aodasync.events import EventArray, EventBatch
from aodasync.evidence.model import Finding, Symptom
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import SystemClock
from aodasync.probes.live_source import LiveEvidence
from aodasync.process.children import Children
from aodasync.smb.commands import COMMAND_CODES
from aodasync.tasks.pipeline import Pipeline
from tests.builders import SECOND, archives, config, latency_anomaly, request

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class EchoAnomaly:
    """More than ``most`` ECHO requests in a batch."""

    name: str
    most: int
    actions: tuple[str, ...] = ()
    cooldown_sec: float = 0.0
    type: str = "echo"


class EchoDetector(Detector):
    """Counts ECHO requests."""

    def __init__(self, anomaly: EchoAnomaly, context: Context) -> None:
        self._anomaly = anomaly
        self._context = context

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Fire for a batch with too many."""
        echoes = rows[rows["command"] == COMMAND_CODES["SMB2_ECHO"]]
        if len(echoes) > self._anomaly.most:
            connection = int(echoes["connection_id"][0])
            at_ns = int(echoes["released_ns"][-1])
            finding = Finding(
                anomaly=self._anomaly.name,
                type=self._anomaly.type,
                symptom=Symptom.CONNECTION,
                server=self._context.connections.server(connection),
                connections=(connection,),
                commands=("SMB2_ECHO",),
                codes=(),
                count=len(echoes),
                acceptable_count=self._anomaly.most,
                threshold_ms=0.0,
                max_latency_ms=0.0,
                first_ns=at_ns,
                last_ns=at_ns,
                emergency=False,
            )
            yield Firing(at_ns // self._context.interval_ns, True, len(echoes), finding)  # noqa: FBT003

    def urgency(self) -> Urgency:
        """An ECHO that takes a millisecond is urgent."""
        return Urgency({COMMAND_CODES["SMB2_ECHO"]: 1_000_000})


ECHO: Final = AnomalyType(
    help="too many ECHO requests",
    make=lambda given: EchoAnomaly(most=given.values["most"], **given.common),
    settings=(Setting("most", Number(0, 1000, whole=True), "So many in a batch.", 5),),
)


async def _uptime(context: ActionContext) -> Collected:
    """An action of one's own."""
    truncated = await context.write("up for an hour\n")
    return Collected(truncated=truncated)


UPTIME: Final = Action("uptime", "uptime.log", Cost.TABLE, _uptime)


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANOMALY_TYPES, "echo", ECHO)
    monkeypatch.setitem(DETECTORS, EchoAnomaly, EchoDetector)
    monkeypatch.setitem(BUILTIN, "uptime", UPTIME)


_FILE = """
guardian:
  anomalies:
    echoes:
      type: echo
      most: 2
      actions: [uptime]
"""


def _echoes(count: int) -> EventArray:
    return np.repeat(request("SMB2_ECHO", released_ns=10 * SECOND), count)


def test_the_engine_runs_it_with_the_others() -> None:
    """Its firings make episodes; what it calls urgent is asked of the kernel with the rest."""
    engine = Engine(config(EchoAnomaly("echoes", most=2), latency_anomaly()), str)
    assert engine.process(_echoes(2), 10 * SECOND) == []
    (started,) = engine.process(_echoes(3), 10 * SECOND)
    assert (started.finding.anomaly, started.finding.count) == ("echoes", 3)
    urgent_ns = engine.urgency().latency_ns
    assert urgent_ns[COMMAND_CODES["SMB2_ECHO"]] == 1_000_000
    assert urgent_ns[COMMAND_CODES["SMB2_READ"]] == 1_000_000_000
    (ended,) = engine.tick(20 * SECOND)
    assert ended.episode == started.episode


def test_check_config_knows_both(tmp_path: Path) -> None:
    """The anomaly with its settings, and the action, without a warning."""
    file = tmp_path / "config.yaml"
    file.write_text(_FILE)
    out, err = io.StringIO(), io.StringIO()
    assert check_config(file, as_json=False, out=out, err=err) == 0
    shown = yaml.safe_load(out.getvalue())["anomalies"]["echoes"]
    assert (shown["type"], shown["most"], shown["actions"]) == ("echo", 2, ["uptime"])
    assert "echoes" not in err.getvalue()
    assert "uptime" not in err.getvalue()


async def test_a_bundle_of_it_has_the_actions_file(tmp_path: Path) -> None:
    """From the file of YAML through detector and collector into the manifest."""
    settings = config_room.loads(_FILE, "config.yaml")
    recorder = FlightRecorder(100)
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        pipeline = Pipeline(
            settings,
            source=LiveEvidence(recorder),
            recorder=recorder,
            output=output,
            clock=SystemClock(),
            log=structlog.get_logger(),
            audit=Audit(enabled=False),
            children=Children(),
        )
        with capture_logs() as logs:
            pipeline.detector.process(EventBatch(_echoes(3), 10 * SECOND))
            collecting = asyncio.create_task(pipeline.collect())
            await asyncio.sleep(0)
            await pipeline.collector.finish(20)
            collecting.cancel()
        path = next(archives(output.batches))
        manifest = read_manifest(path)
        assert verify(path) == ()
    assert [entry["event"] for entry in logs] == ["anomaly_detected", "bundle_written"]
    anomaly, (action,) = manifest["anomaly"], manifest["actions"]
    assert (anomaly["name"], anomaly["type"], anomaly["count"]) == ("echoes", "echo", 3)
    assert anomaly["configured"]["most"] == 2
    assert (action["name"], action["file"], action["bytes"]) == ("uptime", "uptime.log", 15)
    assert action["error"] is None
