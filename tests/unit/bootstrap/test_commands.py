# SPDX-License-Identifier: MIT
"""The two commands, against stand-ins for what they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

Program = Callable[[str, str], None]
Calls = Callable[[], list[str]]

MOUNTINFO = """\
22 28 0:21 / /proc rw,nosuid - proc proc rw
40 28 0:52 / /srv/data rw,relatime shared:9 - cifs //server/share rw,vers=3.1.1
41 28 0:53 / /srv/with\\040blank rw shared:9 master:1 - smb3 //server/share\\040two rw
42 28 0:54 / /srv/cifs rw - ext4 /dev/cifs rw
"""


def test_cifs_mounts_are_told_by_type_alone() -> None:
    """Mounts of type cifs and smb3 count; a path or a device with cifs in its name does not."""
    assert bootstrap.cifs_mounts(MOUNTINFO) == ["/srv/data", "/srv/with blank"]
    assert bootstrap.cifs_mounts("") == []


@pytest.mark.parametrize("odd", ["\u00a0", "\u0085", "\u2028", "\r", "\udcff"])
def test_mount_points_hold_any_character(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines end at newlines alone; what no terminal should get is not printed."""
    mounts = bootstrap.cifs_mounts(f"40 28 0:52 / /srv/a{odd}b rw - cifs //server/share rw\n")
    assert mounts == [f"/srv/a{odd}b"]
    bootstrap.say(mounts[0])
    assert capsys.readouterr().out == "==> /srv/a?b\n"


def test_the_first_obstacle_is_named(tmp_path: Path) -> None:
    """Without a mount, without BTF of the kernel or of cifs there is a reason; else none."""
    assert "no CIFS share" in bootstrap.obstacle([], tmp_path)
    assert "vmlinux" in bootstrap.obstacle(["/srv"], tmp_path)
    (tmp_path / "vmlinux").touch()
    assert "cifs" in bootstrap.obstacle(["/srv"], tmp_path)
    (tmp_path / "cifs").touch()
    assert bootstrap.obstacle(["/srv"], tmp_path) == ""


def stand_in_agent(venv: Path, script: str) -> None:
    """An installed agent that logs its arguments and runs ``script``."""
    (venv / "bin/aodasync").write_text(f'#!/bin/sh\necho $* >> "$CALLS"\n{script}\n')
    (venv / "bin/aodasync").chmod(0o755)


def pretend_installed(monkeypatch: pytest.MonkeyPatch, why_not: str) -> None:
    """All is set up, and the agent can watch here unless ``why_not``."""
    monkeypatch.setattr(bootstrap, "obstacle", lambda _mounts, _btf: why_not)
    for name in ("have_packages", "have_venv", "have_in_venv"):
        monkeypatch.setattr(bootstrap, name, lambda *_arguments: None)


def test_tests_write_below_the_venv(
    venv: Path, tmp_path: Path, program: Program, calls: Calls
) -> None:
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
    assert calls()[-1].endswith("--sessions lint types tests minimums newer kernel fuzz lab")
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "calls.log.env").read_text().splitlines()
    )
    assert all(environment[name].startswith(f"{venv}/cache/") for name in folders)
    assert environment["PYTEST_ADDOPTS"] == f"-o cache_dir={venv}/cache/pytest"


def test_run_becomes_the_agent_where_it_can_watch(
    venv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a mount and BTF the script is replaced by ``aodasync run``, and says so before."""
    pretend_installed(monkeypatch, "")
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _path, argv: started.append(argv))
    bootstrap.run()
    assert started == [[f"{venv}/bin/aodasync", "run"]]
    assert "watching for real" in capsys.readouterr().out


def test_run_replays_elsewhere_and_shows_the_new_bundle(
    venv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    calls: Calls,
) -> None:
    """Without a mount it says why it replays, and explains each replay's own bundle alone."""
    output = tmp_path / "output"
    (output / "batches").mkdir(parents=True)
    (output / "batches/old.tar.zst").touch()
    monkeypatch.setattr(bootstrap, "REPLAY_OUTPUT", output)
    pretend_installed(monkeypatch, "no CIFS share is mounted here")
    batches = f"{output}/batches"
    stand_in_agent(venv, f'test "$1" != replay || touch "{batches}/$(basename "$2").tar.zst"')
    bootstrap.run()
    made = calls()
    for name in ("slow_disk", "lossy_network"):
        replayed, explained, page = made[:3]
        del made[:3]
        assert replayed.split()[0] == "replay"
        assert f"aodasync/recordings/{name} --config" in replayed
        assert f"--output-dir {output}" in replayed
        assert explained == f"why {batches}/{name}.tar.zst"
        assert page == f"report {batches}/{name}.tar.zst -o {output}/{name}.html --force"
    assert made == []
    assert "replaying a recording, as no CIFS share is mounted here" in capsys.readouterr().out


def test_a_replay_without_a_bundle_is_a_failure(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay that detects nothing, or fails, does not pass for a success."""
    monkeypatch.setattr(bootstrap, "REPLAY_OUTPUT", tmp_path / "output")
    stand_in_agent(venv, "exit 0")
    with pytest.raises(bootstrap.Failure, match="without a bundle"):
        bootstrap.replay()
    stand_in_agent(venv, "exit 69")
    with pytest.raises(bootstrap.Failure, match="ended with 69"):
        bootstrap.replay()


@pytest.mark.parametrize("planted", ["file", "link", "writable"])
def test_a_foreign_output_directory_does_not_stop_the_replay(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else put there is left alone, and a new directory taken."""
    output = tmp_path / "output"
    monkeypatch.setattr(bootstrap, "REPLAY_OUTPUT", output)
    assert bootstrap.replay_output() == output
    if planted == "file":
        output.write_text("theirs")
    elif planted == "link":
        output.symlink_to("/etc")
    else:
        output.mkdir()
        output.chmod(0o777)
    other = bootstrap.replay_output()
    assert other != output
    assert other.stat().st_mode & 0o777 == 0o700
    assert list(other.iterdir()) == []
    output.chmod(0o755) if planted == "writable" else output.unlink()
    assert bootstrap.replay_output() == output
