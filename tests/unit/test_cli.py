# SPDX-License-Identifier: MIT
"""The command line: one line for each failure, and the documented exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aodasync import cli
from aodasync.errors import NotPermittedError


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr with a hint; exit 64."""
    assert cli.main(["dance"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aodasync: error: ")
    assert err.count("\n") == 1
    assert "(hint: aodasync --help)" in err


def test_without_root_the_agent_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 77 and the command that would work, with and without the name of the command."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for argv in ([], ["run"]):
        assert cli.main(argv) == NotPermittedError.exit_code == 77
        assert "(hint: sudo aodasync)" in capsys.readouterr().err


def test_a_bad_configuration_exits_78_with_each_problem_on_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every problem has its file, line, column and key, wherever the option stands."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("watch_interval_sec: -1\nguardian:\n  anomalies:\n    latency: {mode: some}\n")
    for argv in (["check-config", str(bad)], ["--config", str(bad), "check-config"]):
        assert cli.main(argv) == 78
        err = capsys.readouterr().err
        assert f"{bad}:1:" in err
        assert f"{bad}:4:" in err
        assert "guardian.anomalies.latency.mode" in err
        assert "Traceback" not in err


def test_a_missing_configuration_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78, the path, no traceback."""
    assert cli.main(["check-config", str(tmp_path / "none.yaml")]) == 78
    assert "none.yaml" in capsys.readouterr().err


def test_check_config_prints_the_effective_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The shipped file is valid and its thresholds are shown."""
    assert cli.main(["check-config", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["anomalies"]["latency"]["thresholds_ms"]["SMB2_READ"] > 0


def test_replay_of_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording that is not there is an error of one line, exit 1."""
    argv = ["replay", str(tmp_path / "none"), "--output-dir", str(tmp_path / "out")]
    assert cli.main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("aodasync: error: ")
    assert err.count("\n") == 1


def test_a_defect_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen error is one line that says how to report it; debug shows the rest."""

    def broken(*_: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(cli._COMMANDS, "config-schema", broken)
    assert cli.main(["config-schema"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "Traceback" not in err
    assert cli.main(["--log-level", "debug", "config-schema"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_must_be_max_or_a_number_above_zero(
    speed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is a usage error that says what is right."""
    assert cli.main(["replay", "x", "--speed", speed]) == 64
    assert "neither 'max' nor a number above 0" in capsys.readouterr().err
