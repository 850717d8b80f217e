# SPDX-License-Identifier: MIT
"""Setting a host up, against stand-ins for the programs that do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

Program = Callable[[str, str], None]
Calls = Callable[[], list[str]]


def test_sources_key_follows_what_is_installed(tmp_path: Path) -> None:
    """A changed, renamed or new file changes the key; byte code and tests do not."""
    (tmp_path / "pyproject.toml").write_text("x")
    package = tmp_path / "aodasync"
    (package / "__pycache__").mkdir(parents=True)
    module = package / "a.py"
    module.write_text("one")
    keys = [bootstrap.sources_key(tmp_path)]
    (package / "__pycache__/a.pyc").write_text("byte code")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/a.py").write_text("test")
    assert bootstrap.sources_key(tmp_path) == keys[0]
    module.write_text("two")
    keys.append(bootstrap.sources_key(tmp_path))
    module.rename(package / "b.py")
    keys.append(bootstrap.sources_key(tmp_path))
    assert len(set(keys)) == 3


def test_installed_packages_cost_no_apt_call(program: Program, calls: Calls) -> None:
    """Where dpkg has everything apt-get is not called."""
    program("dpkg-query", 'echo "zstd install ok installed"')
    program("apt-get", "exit 0")
    bootstrap.have_packages("zstd")
    assert [call.split()[0] for call in calls()] == ["dpkg-query"]


def test_only_missing_packages_are_installed(program: Program, calls: Calls) -> None:
    """A package that was removed but has its configuration left counts as missing."""
    program("dpkg-query", 'echo "git install ok installed"; echo "zstd deinstall ok config-files"')
    program("apt-get", "exit 0")
    bootstrap.have_packages("git", "zstd")
    (install,) = calls()[1:]
    assert install.endswith("install -y --no-install-recommends zstd")


def test_package_lists_are_read_when_installing_fails(program: Program, calls: Calls) -> None:
    """On a fresh host, without package lists, apt-get update comes in between."""
    program("dpkg-query", "exit 1")
    program(
        "apt-get", 'case "$*" in *update) touch "$CALLS.fresh";; *) test -e "$CALLS.fresh";; esac'
    )
    bootstrap.have_packages("zstd")
    assert ["update" in call for call in calls()[1:]] == [False, True, False]


def test_apt_failure_is_told_with_its_own_words(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """When apt-get cannot help, its last words are shown, and one sentence with a hint."""
    program("dpkg-query", "exit 1")
    program("apt-get", 'echo "E: Unable to fetch some archives" >&2; exit 100')
    with pytest.raises(bootstrap.Failure, match=r"apt-get ended with 100 \(hint: .*mirror"):
        bootstrap.have_packages("zstd")
    assert "E: Unable to fetch" in capsys.readouterr().err


def test_a_requirement_is_installed_once_for_a_key(
    venv: Path, tmp_path: Path, calls: Calls
) -> None:
    """A requirement costs a call of pip only when the key changes, or when it failed before."""
    log = tmp_path / "calls.log"
    pip = venv / "bin/pip"
    pip.write_text(f'#!/bin/sh\necho "$*" >> {log}\ntest "$3" != broken\n')
    pip.chmod(0o755)
    program = venv / "bin/aodasync"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for key in ("one", "one", "two"):
        bootstrap.have_in_venv("aodasync", "source", key)
    assert len(calls()) == 2
    for _ in range(2):
        with pytest.raises(bootstrap.Failure, match="installing nox failed"):
            bootstrap.have_in_venv("nox", "broken", "one")
    assert len(calls()) == 4


def test_what_is_broken_is_installed_again(venv: Path, calls: Calls) -> None:
    """A program that does not start is, though its stamp says that it is there."""
    (venv / "bin/pip").write_text('#!/bin/sh\necho "$*" >> "$CALLS"\n')
    (venv / "bin/pip").chmod(0o755)
    (venv / "installed-aodasync").write_text("key")
    for program in (None, "#!/nonexistent/python\n", "#!/bin/sh\nexit 1\n"):
        if program:
            (venv / "bin/aodasync").write_text(program)
            (venv / "bin/aodasync").chmod(0o755)
        bootstrap.have_in_venv("aodasync", ".", "key")
    assert calls() == ["install --quiet --force-reinstall ."] * 3


def test_an_environment_without_its_interpreter_is_made_again(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pip is there and may be run, and yet it does not start."""
    (venv / "made-by").write_text(f"{os.path.realpath(sys.executable)}\n{sys.version}\n")
    (venv / "bin/pip").write_text("#!/nonexistent/python\n")
    (venv / "bin/pip").chmod(0o755)
    made: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run_quietly", lambda _what, argv, _hint: made.append(argv))
    bootstrap.have_venv()
    assert [argv[1:] for argv in made] == [["-m", "venv", "--clear", str(venv)]]
    (venv / "bin/pip").write_text("#!/bin/sh\n")
    bootstrap.have_venv()
    assert len(made) == 1


def test_a_path_that_cannot_hold_an_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python makes none where a name has a colon: one sentence, before anything is tried."""
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / "a:b" / ".venv")
    with pytest.raises(bootstrap.Failure, match=r"a path with ':'.*move the checkout"):
        bootstrap.have_venv()


def test_an_old_python_goes_on_under_a_newer_one(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of the interpreters on PATH that starts and is new enough takes over."""
    program("python3.14", "exit 127")
    program("python3.13", "exit 1")
    program("python3.12", "exit 0")
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    started: list[list[str]] = []

    def execv(_path: str, argv: list[str]) -> None:
        started.append(argv)
        raise SystemExit

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit):
        bootstrap.main(["run"])
    script = str(bootstrap.ROOT / "bootstrap.py")
    assert started == [[str(tmp_path / "programs/python3.12"), script, "run"]]


def test_an_old_python_alone_is_refused(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a newer interpreter the exit code is 69 and the sentence says what to install."""
    program("python3.13", "exit 1")
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap, "NEWER_PYTHONS", ("python3.13",))
    assert bootstrap.main(["run"]) == 69
    assert "install python3.12" in capsys.readouterr().err


def test_without_root_and_sudo_it_ends_with_77(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ordinary user without sudo gets one line on stderr."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.main(["test"]) == 77
    assert capsys.readouterr().err == "bootstrap: error: this needs root (hint: run it as root)\n"


@pytest.mark.parametrize("arguments", [[], ["stop"], ["run", "now"]])
def test_anything_else_is_wrong_usage(arguments: list[str]) -> None:
    """Exactly one of the two commands is understood."""
    assert bootstrap.main(arguments) == 64
