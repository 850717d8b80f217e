# SPDX-License-Identifier: MIT
"""What tests of actions share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aodasync.actions import ActionContext
from aodasync.children import Children


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
