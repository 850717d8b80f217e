# SPDX-License-Identifier: MIT
"""Stand-ins for the programs that the set-up script calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

Program = Callable[[str, str], None]
Calls = Callable[[], list[str]]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script by that name first on PATH; it logs its arguments to calls.log."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.log"))

    def put(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f'#!/bin/sh\necho {name} $* >> "$CALLS"\n{script}\n')
        path.chmod(0o755)

    return put


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory in the place of ``.venv``."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setattr(bootstrap, "VENV", folder)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.log"))
    return folder


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    """What the stand-ins were called with, in order."""
    log = tmp_path / "calls.log"
    return lambda: log.read_text().splitlines() if log.exists() else []
