# SPDX-License-Identifier: MIT
"""The output directory is the caller's alone, or it is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aodasync.bundle.output_dir import OutputDirectory
from aodasync.errors import OutputDirectoryError

_ROOT = os.geteuid() == 0


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_directories_are_made_private(tmp_path: Path) -> None:
    """What is created is 0700 whatever the umask says."""
    before = os.umask(0)
    try:
        with OutputDirectory.prepare(tmp_path / "var" / "aod") as output:
            assert output.batches == tmp_path / "var" / "aod" / "batches"
            assert {_mode(p) for p in (output.path.parent, output.path, output.batches)} == {0o700}
            assert os.fstat(output.batches_fd).st_ino == output.batches.stat().st_ino
    finally:
        os.umask(before)


def test_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    """An existing one that nobody else can write is taken as it is; batches/ becomes 0700."""
    (tmp_path / "aod" / "batches").mkdir(parents=True)
    (tmp_path / "aod").chmod(0o755)
    (tmp_path / "aod" / "batches").chmod(0o755)
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        assert _mode(output.path) == 0o755
        assert _mode(output.batches) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Sticky or not: files of others do not belong among bundles."""
    (tmp_path / "aod").mkdir()
    (tmp_path / "aod").chmod(mode)
    with pytest.raises(OutputDirectoryError, match="others can write"):
        OutputDirectory.prepare(tmp_path / "aod")


def test_sticky_ancestor_is_fine_and_a_loose_one_is_not(tmp_path: Path) -> None:
    """Below /tmp nobody can replace the directory; below an open one without t, anybody."""
    parent = tmp_path / "shared"
    parent.mkdir()
    parent.chmod(0o1777)
    OutputDirectory.prepare(parent / "aod").close()
    parent.chmod(0o777)
    with pytest.raises(OutputDirectoryError, match="everybody can write"):
        OutputDirectory.prepare(parent / "aod")


@pytest.mark.parametrize("planted", ["aod", "aod/batches", "."])
def test_symbolic_links_are_refused(tmp_path: Path, planted: str) -> None:
    """A link planted at the directory, at batches/ or above it is not followed."""
    target = tmp_path / "target"
    (target / "aod").mkdir(parents=True)
    home = tmp_path / "home"
    link = home / planted
    if planted != ".":
        link.parent.mkdir(parents=True)
    link.symlink_to(target)
    with pytest.raises(OutputDirectoryError, match="symbolic link") as caught:
        OutputDirectory.prepare(home / "aod")
    assert caught.value.hint
    assert not (target / "batches").exists()
    assert not (target / "aod" / "batches").exists()


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is an error with a hint, and stays."""
    (tmp_path / "aod").write_text("mine")
    with pytest.raises(OutputDirectoryError, match="not a directory"):
        OutputDirectory.prepare(tmp_path / "aod")
    assert (tmp_path / "aod").read_text() == "mine"


@pytest.mark.skipif(not _ROOT, reason="only root can give files away")
@pytest.mark.parametrize("given", ["aod", "aod/batches", "."])
def test_directory_of_another_user_is_refused(tmp_path: Path, given: str) -> None:
    """Who owns the directory, batches/ or a directory above could replace what is in it."""
    home = tmp_path / "home"
    (home / "aod" / "batches").mkdir(parents=True)
    os.chown(home / given, 12345, 12345)
    with pytest.raises(OutputDirectoryError, match="belongs to uid 12345"):
        OutputDirectory.prepare(home / "aod")


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    """Interrupted collections are removed and counted; a link among them loses no target."""
    batches = tmp_path / "aod" / "batches"
    (batches / "aod_quick_1_latency.partial" / "deep").mkdir(parents=True)
    (batches / "aod_quick_1_latency.partial" / "deep" / "x").write_text("x")
    (batches / "aod_quick_2_error.tar.zst.partial").write_text("half")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "x").write_text("x")
    (batches / "aod_quick_3_hang.partial").symlink_to(kept)
    (batches / "aod_quick_4_hang.tar.zst").write_text("whole")
    (batches / "download.partial").write_text("not ours")
    (tmp_path / "aod").chmod(0o700)
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        assert (output.salvaged, output.removed) == (0, 3)
        left = sorted(path.name for path in batches.iterdir())
        assert left == ["aod_quick_4_hang.tar.zst", "download.partial"]
    assert (kept / "x").read_text() == "x"


def test_second_writer_is_refused(tmp_path: Path) -> None:
    """Two agents, or a replay beside one, would remove each other's collections."""
    with (
        OutputDirectory.prepare(tmp_path / "aod"),
        pytest.raises(OutputDirectoryError, match="another aodasync"),
    ):
        OutputDirectory.prepare(tmp_path / "aod")
    OutputDirectory.prepare(tmp_path / "aod").close()


def test_relative_path_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay's ./aodasync-replay is where the caller stands."""
    monkeypatch.chdir(tmp_path)
    with OutputDirectory.prepare(Path("x/../out")) as output:
        assert output.path == tmp_path / "out"
