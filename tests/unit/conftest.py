# SPDX-License-Identifier: MIT
"""Shared by the unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from aodasync.actions import ActionContext
from aodasync.process.children import Children


@pytest.fixture(autouse=True)
def _default_logging() -> Iterator[None]:
    """A command that a test ran sets logging up for its process; that is not for the next test."""
    yield
    structlog.reset_defaults()


# Wall time says nothing about one example on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """The agent runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ActionContext]:
    """A context that writes x.log into the test's directory."""
    directory = tmp_path / "bundle"
    directory.mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    yield ActionContext(
        since_realtime_ns=1_700_000_000_123_456_789,
        timeout_sec=5,
        max_bytes=50_000,
        directory_fd=descriptor,
        file="x.log",
        children=Children(),
    )
    os.close(descriptor)
