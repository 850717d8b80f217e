# SPDX-License-Identifier: MIT
"""The command line: one line for each failure, and the documented exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from aodasync import __main__ as entry
from aodasync import __version__
from aodasync.cli import main as cli
from aodasync.cli.arguments import parser
from aodasync.cli.commands import COMMANDS
from aodasync.cli.examples import EXAMPLES
from aodasync.config import files
from aodasync.errors import NotPermittedError
from tests.fuzz.bundle_maker import bundle


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr with a hint; exit 64."""
    assert cli.main(["dance"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aodasync: error: ")
    assert err.count("\n") == 1
    assert "(hint: aodasync --help)" in err


def test_a_refused_configuration_is_summed_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each problem in a line; then how many there are, in which file or how many, and the hint."""
    monkeypatch.setattr(files, "SYSTEM_PATH", tmp_path / "config.yaml")
    monkeypatch.setattr(files, "DROP_INS", tmp_path / "conf.d")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "config.yaml").write_text("cleanup: 5\naudit: 5")
    (tmp_path / "conf.d" / "a.yaml").write_text("aod_output_dir: logs")
    for argv, last in (
        (["replay", "--config", str(tmp_path / "config.yaml")], "/config.yaml: 2 problems (see ab"),
        (["replay", "x"], "aodasync: error: 2 files: 3 problems (see above)"),
        (
            ["replay", "--config", str(tmp_path / "none")],
            "/none: 1 problem (see above) (hint: give",
        ),
    ):
        assert cli.main(argv) == 78
        assert last in capsys.readouterr().err.splitlines()[-1]


def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    """As the options of these names; help takes a command."""
    for argv in (["help"], ["help", "slow"], ["help", "bundles", "diff"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(argv)
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "aodasync why, aodasync top" in " ".join(shown.split())
    assert "MIN_MS" in shown
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"aodasync {__version__}\n"
    assert cli.main(["help", "slwo"]) == 64
    assert "did you mean slow?" in capsys.readouterr().err


def test_the_help_of_each_command_has_examples_that_are_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be typed as they are, and fit into 80 columns; a sentence says what it is for."""
    monkeypatch.setenv("COLUMNS", "80")
    own = {"config-schema", "help", "version"}
    commands = {name for _, parsers in parser().below() for name in parsers}
    assert commands - own == {name for name in EXAMPLES if " " not in name}
    for command, examples in EXAMPLES.items():
        with pytest.raises(SystemExit):
            cli.main(["help", *command.split()])
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        for example in examples:
            assert f"\n  {example}" in shown
            words = re.split(r" {2,}|[;|>&]", example)[0].removeprefix("sudo ").split()
            assert words[0] == "aodasync"
            assert parser().parse_args(words[1:]).command == command.split()[0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("show", "unknown COMMAND: 'show'; did you mean bundles show? (hint: aodasync --help)"),
        ("ls", "did you mean bundles ls?"),
        ("anonymize x", "did you mean bundles anonymise?"),
        ("logs", "did you mean history?"),
        ("start", "did you mean run?"),
        ("stop", "did you mean systemctl stop aodasync?"),
        ("export x", "did you mean probe export?"),
        ("collect", "did you mean snapshot?"),
        ("bundles latest", "unknown ACTION: 'latest'; did you mean show latest?"),
        ("bundles compare a b", "did you mean diff?"),
        ("--verson", "unrecognized arguments: --verson; did you mean --version?"),
        ("-v", "did you mean -V?"),
        ("doctor --jsno", "--jsno; did you mean --json? (hint: aodasync doctor --help)"),
        ("bundles show --al=1", "(hint: aodasync bundles show --help)"),
        ("bundles ls --servr x", "--servr x; did you mean --server?"),
        ("top x", "unrecognized arguments: x (hint: aodasync top --help)"),
        ("top --by servers", "unknown --by: 'servers'; did you mean server?"),
        ("slow -p x", "argument -p: expected a whole number from 1 on, found 'x'"),
        ("slow -p 0", "argument -p: expected a whole number from 1 on, found '0'"),
        ("bundles ls -n -1", "argument -n: expected a whole number from 0 on, found '-1'"),
        ("inflight fast", "expected milliseconds from 0 to 86400000, found 'fast'"),
        ("--output-dir= bundles", "argument --output-dir: expected a path, found nothing"),
    ],
)
def test_what_was_probably_meant_is_named(
    argv: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command, an action of bundles, an option; the hint is the help of that very command."""
    assert cli.main(argv.split()) == 64
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_without_a_file_the_packaged_recording_is_replayed(tmp_path: Path) -> None:
    """With its own settings, under which it has an anomaly."""
    assert cli.main(["replay", "--output-dir", str(tmp_path), "--log-level", "error"]) == 0
    assert [*tmp_path.glob("batches/*_latency.tar.zst")]


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


def test_check_config_as_json_names_a_file_that_may_not_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the shape of all other problems; exit 77."""

    def denied(_path: object) -> None:
        hint = "sudo"
        raise NotPermittedError("/etc/c.yaml: permission denied", hint=hint, file="/etc/c.yaml")

    monkeypatch.setattr("aodasync.cli.check_config.load", denied)
    assert cli.main(["check-config", "--json"]) == 77
    printed = capsys.readouterr()
    (problem,) = json.loads(printed.out)["problems"]
    assert problem == {
        "file": "/etc/c.yaml",
        "line": 1,
        "column": 1,
        "key": "(file)",
        "message": "cannot be read: permission denied",
    }
    assert printed.err == "aodasync: error: /etc/c.yaml: permission denied (hint: sudo)\n"


def test_an_interrupt_before_the_command_is_as_quiet_as_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Importing takes a third of a second: Ctrl-C then is exit 130, too, without a traceback."""

    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "aodasync.cli.main", Interrupted("aodasync.cli.main"))
    monkeypatch.setattr(entry, "hold", lambda: None)
    assert entry.main() == 130
    assert capsys.readouterr().err == ""


def test_replay_of_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording that is not there is an error of one line, exit 1."""
    argv = ["replay", str(tmp_path / "none"), "--output-dir", str(tmp_path / "out")]
    assert cli.main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("aodasync: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_what_is_no_recording_makes_no_directory(tmp_path: Path, content: str | None) -> None:
    """Its name was mistyped, more often than not: nothing is left behind of that."""
    recording = tmp_path / "recording"
    recording.mkdir()
    if content is not None:
        (recording / "manifest.json").write_text(content)
    assert cli.main(["replay", str(recording), "--output-dir", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_a_defect_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen error is one line that says how to report it; debug shows the rest."""

    def broken(*_: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(COMMANDS, "config-schema", broken)
    assert cli.main(["config-schema"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "Traceback" not in err
    assert cli.main(["--log-level", "debug", "config-schema"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["history"], ["suggest"], ["bundles", "ls"]])
def test_an_empty_since_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a shell's variable that is not set: it does not mean all that there is."""
    assert cli.main([*command, "--since", "", "--output-dir", str(tmp_path)]) == 64
    assert "--since: expected a span" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_must_be_max_or_a_number_above_zero(
    speed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is a usage error that says what is right."""
    assert cli.main(["replay", "x", "--speed", speed]) == 64
    assert "neither 'max' nor a number above 0" in capsys.readouterr().err


def test_what_libraries_warn_of_stays_with_developers(tmp_path: Path) -> None:
    """A bundle may hold what NumPy and Python's parser warn of; a user gets one line."""
    header = b"{'descr': [('issued_ns', '<u8')], 'fortran_order': False, 'shape': (0x1for x in 9,)}"
    file = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "bundle").write_bytes(bundle(events_npy=file))
    command = [sys.executable, "-m", "aodasync", "bundles", "verify", str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
