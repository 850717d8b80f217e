# SPDX-License-Identifier: MIT
"""Where tracefs is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.host.tracefs import tracefs


def test_tracefs_is_where_it_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its old place serves where the new one is empty."""
    new, old = tmp_path / "new", tmp_path / "old"
    monkeypatch.setattr("aodasync.host.tracefs.TRACEFS", (new, old))
    assert tracefs() == new
    (old / "events").mkdir(parents=True)
    assert tracefs() == old
