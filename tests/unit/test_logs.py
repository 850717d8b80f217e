# SPDX-License-Identifier: MIT
"""Logs are JSON lines, and a stalled reader of them never stalls the agent."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import syslog
import time
from collections.abc import Iterator

import pytest
import structlog

from aodasync import logs
from aodasync.audit import Audit


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


def test_json_lines_have_the_documented_fields() -> None:
    """Each line is one object: timestamp in UTC, level, event, component, then the fields."""
    out = io.StringIO()
    log = logs.configure(level="info", fmt="json", stream=out)
    log.bind(component="detector").warning("anomaly_detected", anomaly="latency", count=3)
    log.debug("unseen")
    structlog.get_config()["logger_factory"]()._file.close()
    (line,) = out.getvalue().splitlines()
    record = json.loads(line)
    assert record["timestamp"].endswith("Z")
    del record["timestamp"]
    assert record == {
        "level": "warning",
        "event": "anomaly_detected",
        "component": "detector",
        "anomaly": "latency",
        "count": 3,
    }


def test_a_stalled_reader_costs_lines_not_time() -> None:
    """With a full pipe the writer drops and counts; no call blocks."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    writer = logs.LineWriter(stream)
    began = time.monotonic()
    for _ in range(12_000):
        writer.write("x" * 100 + "\n")
    assert time.monotonic() - began < 2
    assert writer.dropped > 0
    os.close(reading)
    writer.close()
    with contextlib.suppress(BrokenPipeError):
        stream.close()


@pytest.mark.anyio
async def test_audit_is_silent_unless_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """AODv2's sentences go to syslog, with its names, only when asked for."""
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda *args: sent.append(args))
    Audit(enabled=False).anomaly("latency", 1)
    audit = Audit(enabled=True)
    audit.anomaly("latency", 12)
    audit.component_restarted("detector")
    await asyncio.get_running_loop().shutdown_default_executor()
    assert sorted(sent) == [
        (syslog.LOG_ALERT, "AOD detected anomaly: latency with 12 events"),
        (
            syslog.LOG_WARNING,
            "AOD component AnomalyWatcher restarted due to unexpected exit",
        ),
    ]
