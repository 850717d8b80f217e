# SPDX-License-Identifier: MIT
"""Logs are JSON lines, and a stalled reader of them never stalls the agent."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import syslog
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from aodasync.host import logs, printable
from aodasync.host.aodv2_syslog import Audit


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


def test_what_is_read_first_comes_first() -> None:
    """Time, level, event, anomaly, episode and server; then the rest as it was given."""
    out = io.StringIO()
    log = logs.configure(level="info", fmt="json", stream=out)
    log.info("anomaly_ended", count=3, server="nas", episode=7, anomaly="hang")
    structlog.get_config()["logger_factory"]()._file.close()
    keys = [*json.loads(out.getvalue())]
    assert keys[:6] == ["timestamp", "level", "event", "anomaly", "episode", "server"]
    assert {*keys[6:]} == {"component", "count"}


def test_the_journal_gets_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that journalctl -p warning is the story of a night; anything else gets plain JSON."""
    levels = ("debug", "info", "warning", "error", "critical")
    for prefixes in (["<7>", "<6>", "<4>", "<3>", "<2>"], ["", "", "", "", ""]):
        reading, writing = os.pipe()
        status = os.fstat(writing)
        number = status.st_ino + (1 if not prefixes[0] else 0)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{number}")
        with os.fdopen(writing, "w") as stream:
            log = logs.configure(level="debug", fmt="json", stream=stream)
            for level in levels:
                getattr(log, level)("said")
            structlog.get_config()["logger_factory"]()._file.close()
        with os.fdopen(reading) as lines:
            found = lines.read().splitlines()
        assert [line.partition("{")[0] for line in found] == prefixes
        assert [json.loads("{" + line.partition("{")[2])["level"] for line in found] == [*levels]


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


def test_audit_is_silent_unless_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """AODv2's sentences go to syslog, in order and with its names, only when asked for."""
    sent: queue.Queue[tuple[int, str]] = queue.Queue()
    monkeypatch.setattr(syslog, "syslog", lambda *args: sent.put(args))
    Audit(enabled=False).anomaly("latency", 1)
    audit = Audit(enabled=True)
    audit.anomaly("latency", 12)
    audit.component_restarted("detector")
    assert [sent.get(timeout=5) for _ in range(2)] == [
        (syslog.LOG_ALERT, "AOD detected anomaly: latency with 12 events"),
        (syslog.LOG_WARNING, "AOD component AnomalyWatcher restarted due to unexpected exit"),
    ]


def test_a_syslog_that_stands_still_costs_messages_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What finds the queue full is counted; nobody waits, at the exit neither."""
    go_on = threading.Event()
    monkeypatch.setattr(syslog, "syslog", lambda *_: go_on.wait(30))
    audit = Audit(enabled=True)
    begun_sec = time.monotonic()
    for _ in range(1000):
        audit.anomaly("latency", 1)
    assert time.monotonic() - begun_sec < 1
    assert 1000 - 257 <= audit.dropped <= 1000 - 256
    writers = [each for each in threading.enumerate() if each.name == "syslog-writer"]
    assert writers
    assert all(each.daemon for each in writers)
    go_on.set()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_console_logs_are_printable_and_coloured_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Values are without escapes; colours are for terminals, unless NO_COLOR or TERM=dumb."""
    for name, value, coloured in (
        ("NO_COLOR", "", True),
        ("NO_COLOR", "1", False),
        ("TERM", "dumb", False),
    ):
        with monkeypatch.context() as patch:
            patch.delenv("NO_COLOR", raising=False)
            patch.setenv("TERM", "xterm")
            patch.setenv(name, value)
            terminal = _Terminal()
            assert printable.wants_colour(terminal) is coloured
            log = logs.configure(level="info", fmt="console", stream=terminal)
            log.info("anomaly_detected", server="nas\x1b]0;x\x07")
            structlog.get_config()["logger_factory"]()._file.close()
            said = terminal.getvalue()
            assert "nas\N{REPLACEMENT CHARACTER}]0;x\N{REPLACEMENT CHARACTER}" in said
            assert ("\x1b[" in said) is coloured
