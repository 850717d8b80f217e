# SPDX-License-Identifier: MIT
"""The agent reports what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from aodasync.tasks import health as module
from aodasync.tasks.health import Health

_MB = 1 << 20


def test_private_memory_is_reported_beside_the_resident() -> None:
    """Pages that were written count as private at once; untouched ones do not."""
    health = Health(dict, structlog.get_logger())
    before = health.snapshot()
    written = bytearray(b"x") * (64 * _MB)
    after = health.snapshot()
    grown = after["private_dirty_bytes"] - before["private_dirty_bytes"]
    assert 60 * _MB < grown < 80 * _MB
    assert after["private_dirty_bytes"] <= after["rss_bytes"] + _MB
    assert len(written) == 64 * _MB


@pytest.mark.anyio
async def test_metrics_are_information_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in between for those who debug: over a kilobyte a minute is no story of a night."""
    monkeypatch.setattr(module, "_REPORT_SEC", 0.002)
    monkeypatch.setattr(module, "_PER_HOUR", 3)
    with structlog.testing.capture_logs() as logged:
        log: Any = structlog.get_logger()
        task = asyncio.create_task(Health(dict, log).run())
        async with asyncio.timeout(10):
            while len(logged) < 6:  # noqa: ASYNC110  # a log has no event
                await asyncio.sleep(0.001)
        task.cancel()
    levels = [line["log_level"] for line in logged[:6]]
    assert levels == ["debug", "debug", "info"] * 2
