# SPDX-License-Identifier: MIT
"""``aodasync probe``: who may, what is said, and where the file goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aodasync.cli import probe
from aodasync.cli.main import main
from aodasync.errors import ExitCode


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root on a host with the SMB client, whose byte code is a word."""

    async def exported(_cache_dir: Path) -> str:
        return "{}\n"

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(probe, "cifs_loaded", lambda: True)
    monkeypatch.setattr(probe, "export_probes", exported)


@pytest.mark.usefixtures("client")
def test_export_writes_a_private_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It replaces what was exported before, and prints the path; - is standard output."""
    path = tmp_path / "probe.json"
    for _ in range(2):
        assert main(["probe", "export", str(path)]) == ExitCode.OK
    assert capsys.readouterr().out == f"{path}\n" * 2
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("{}\n", 0o600)
    assert main(["probe", "export", "-"]) == ExitCode.OK
    assert capsys.readouterr().out == "{}\n"


@pytest.mark.usefixtures("client")
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No directory, nothing to import, no client, no root."""
    assert main(["probe", "export", str(tmp_path / "no" / "f")]) == ExitCode.UNAVAILABLE
    assert main(["probe", "import", str(tmp_path / "missing")]) == ExitCode.UNAVAILABLE
    monkeypatch.setattr(probe, "cifs_loaded", lambda: False)
    assert main(["probe", "export", str(tmp_path / "f")]) == ExitCode.UNAVAILABLE
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for action in ("import", "export"):
        assert main(["probe", action, str(tmp_path / "f")]) == ExitCode.NOT_PERMITTED
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["error"] * 5
    assert "not loaded" in lines[2]


@pytest.mark.usefixtures("client")
def test_a_file_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of all other commands."""
    for action in ("export", "import"):
        assert main(["probe", action, str(tmp_path)]) == ExitCode.UNAVAILABLE
        assert capsys.readouterr().err == f"aodasync: error: {tmp_path} is not a regular file\n"
    assert main(["probe", "import", str(tmp_path / "x")]) == ExitCode.UNAVAILABLE
    said = f"aodasync: error: {tmp_path / 'x'}: no such file or directory\n"
    assert capsys.readouterr().err == said
