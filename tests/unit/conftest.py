# SPDX-License-Identifier: MIT
"""Shared by the unit tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The agent runs on asyncio alone."""
    return "asyncio"
