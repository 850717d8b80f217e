# SPDX-License-Identifier: MIT
"""The output directory is the caller's alone, or it is refused."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import pytest

from aodasync.bundle import output_dir
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.output_path import refuse_network
from aodasync.errors import OutputDirectoryError
from aodasync.host.mountinfo import Mount

_ROOT = os.geteuid() == 0


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_directories_are_made_private(tmp_path: Path) -> None:
    """What is created is 0700 whatever the umask says; an ancestor is for others to enter."""
    before = os.umask(0o077)
    try:
        with OutputDirectory.prepare(tmp_path / "var" / "aod") as output:
            assert output.batches == tmp_path / "var" / "aod" / "batches"
            assert {_mode(p) for p in (output.path, output.batches)} == {0o700}
            assert _mode(output.path.parent) == 0o755
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


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        *((kind, True) for kind in ("cifs", "smb3", "nfs", "nfs4", "fuse.sshfs", "9p", "ceph")),
        *((kind, False) for kind in ("ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuseblk")),
    ],
)
def test_a_networks_file_system_is_refused_by_the_list_of_mounts(kind: str, refused: bool) -> None:
    """The error names the mount; one below the directory, or beside it, is none of its."""
    mounts = [
        Mount("0:1", "/", "ext4", "/dev/sda"),
        Mount("0:2", "/mnt/share", kind, "//nas/data"),
        Mount("0:3", "/var/log/aod/below", "cifs", "//nas/data"),
    ]
    refuse_network(Path("/var/log/aod"), mounts)
    refuse_network(Path("/mnt/share2/aod"), mounts)
    with contextlib.ExitStack() as stack:
        if refused:
            match = rf"is on /mnt/share \({kind}\)"
            stack.enter_context(pytest.raises(OutputDirectoryError, match=match))
        refuse_network(Path("/mnt/share/deep/aod"), mounts)


def test_a_mount_that_comes_over_it_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundles go on into the directory that is open; its path is never touched again."""
    with OutputDirectory.prepare(tmp_path / "aod", local=True) as output:
        over = (Mount("0:2", str(tmp_path / "aod"), "cifs", "//nas/data"),)
        monkeypatch.setattr(output_dir, "read_mounts", lambda: over)
        monkeypatch.setattr(output, "batches", None)
        assert output.is_current()
