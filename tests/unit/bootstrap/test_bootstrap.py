# SPDX-License-Identifier: MIT
"""The set-up script against stand-ins for the programs it calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

MOUNTINFO = """\
22 28 0:21 / /proc rw,nosuid - proc proc rw
40 28 0:52 / /srv/data rw,relatime shared:9 - cifs //server/share rw,vers=3.1.1
41 28 0:53 / /srv/with\\040blank rw shared:9 master:1 - smb3 //server/share\\040two rw
42 28 0:54 / /srv/cifs rw - ext4 /dev/cifs rw
"""

Program = Callable[[str, str], None]


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
    return folder


def calls(tmp_path: Path) -> list[str]:
    """What the stand-ins were called with, in order."""
    log = tmp_path / "calls.log"
    return log.read_text().splitlines() if log.exists() else []


def test_cifs_mounts_are_told_by_type_alone() -> None:
    """Mounts of type cifs and smb3 count; a path or a device with cifs in its name does not."""
    assert bootstrap.cifs_mounts(MOUNTINFO) == ["/srv/data", "/srv/with\\040blank"]
    assert bootstrap.cifs_mounts("") == []


def test_the_first_obstacle_is_named(tmp_path: Path) -> None:
    """Without a mount, without BTF of the kernel or of cifs there is a reason; else none."""
    assert "no CIFS share" in bootstrap.obstacle([], tmp_path)
    assert "vmlinux" in bootstrap.obstacle(["/srv"], tmp_path)
    (tmp_path / "vmlinux").touch()
    assert "cifs" in bootstrap.obstacle(["/srv"], tmp_path)
    (tmp_path / "cifs").touch()
    assert bootstrap.obstacle(["/srv"], tmp_path) == ""


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


def test_installed_packages_cost_no_apt_call(program: Program, tmp_path: Path) -> None:
    """Where dpkg has everything apt-get is not called."""
    program("dpkg-query", 'echo "zstd install ok installed"')
    program("apt-get", "exit 0")
    bootstrap.have_packages("zstd")
    assert [call.split()[0] for call in calls(tmp_path)] == ["dpkg-query"]


def test_only_missing_packages_are_installed(program: Program, tmp_path: Path) -> None:
    """A package that was removed but has its configuration left counts as missing."""
    program("dpkg-query", 'echo "git install ok installed"; echo "zstd deinstall ok config-files"')
    program("apt-get", "exit 0")
    bootstrap.have_packages("git", "zstd")
    (install,) = calls(tmp_path)[1:]
    assert install.endswith("install -y --no-install-recommends zstd")


def test_package_lists_are_read_when_installing_fails(program: Program, tmp_path: Path) -> None:
    """On a fresh host, without package lists, apt-get update comes in between."""
    program("dpkg-query", "exit 1")
    program(
        "apt-get", 'case "$*" in *update) touch "$CALLS.fresh";; *) test -e "$CALLS.fresh";; esac'
    )
    bootstrap.have_packages("zstd")
    assert ["update" in call for call in calls(tmp_path)[1:]] == [False, True, False]


def test_apt_failure_is_told_with_its_own_words(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """When apt-get cannot help, its last words are shown, and one sentence with a hint."""
    program("dpkg-query", "exit 1")
    program("apt-get", 'echo "E: Unable to fetch some archives" >&2; exit 100')
    with pytest.raises(bootstrap.Failure, match=r"apt-get ended with 100 \(hint: .*mirror"):
        bootstrap.have_packages("zstd")
    assert "E: Unable to fetch" in capsys.readouterr().err


def test_a_requirement_is_installed_once_for_a_key(venv: Path, tmp_path: Path) -> None:
    """A requirement costs a call of pip only when the key changes, or when it failed before."""
    log = tmp_path / "calls.log"
    pip = venv / "bin/pip"
    pip.write_text(f'#!/bin/sh\necho "$*" >> {log}\ntest "$3" != broken\n')
    pip.chmod(0o755)
    for key in ("one", "one", "two"):
        bootstrap.have_in_venv("aodasync", "source", key)
    assert len(calls(tmp_path)) == 2
    for _ in range(2):
        with pytest.raises(bootstrap.Failure, match="installing nox failed"):
            bootstrap.have_in_venv("nox", "broken", "one")
    assert len(calls(tmp_path)) == 4


def test_tests_write_below_the_venv(venv: Path, tmp_path: Path, program: Program) -> None:
    """The command nox gets every session, and every cache of its tools lies below .venv."""
    program("dpkg-query", 'for n in "$@"; do echo "$n install ok installed"; done')
    program("apt-get", "exit 1")
    (venv / "made-by").write_text(f"{os.path.realpath(sys.executable)}\n{sys.version}\n")
    (venv / "bin/pip").write_text("#!/bin/sh\n")
    (venv / "bin/nox").write_text('#!/bin/sh\necho "$*" >> "$CALLS"\nenv > "$CALLS.env"\nexit 1\n')
    for name in ("pip", "nox"):
        (venv / "bin" / name).chmod(0o755)
    folders = (*bootstrap.CACHE_VARIABLES, "HYPOTHESIS_STORAGE_DIRECTORY")
    with pytest.MonkeyPatch.context() as patch:
        for name in (*folders, "PYTEST_ADDOPTS"):
            patch.setenv(name, "elsewhere")
        with pytest.raises(bootstrap.Failure, match="nox ended with 1"):
            bootstrap.test()
    assert calls(tmp_path)[-1].endswith("--sessions lint types tests kernel lab")
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "calls.log.env").read_text().splitlines()
    )
    assert all(environment[name].startswith(f"{venv}/cache/") for name in folders)
    assert environment["PYTEST_ADDOPTS"] == f"-o cache_dir={venv}/cache/pytest"


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
