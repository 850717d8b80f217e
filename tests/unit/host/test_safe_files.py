# SPDX-License-Identifier: MIT
"""What root writes goes where it is meant to, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aodasync.host import safe_files


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """The test's directory, open."""
    descriptor = safe_files.open_directory(str(tmp_path))
    yield descriptor
    os.close(descriptor)


def test_what_is_created_is_private(directory: int, tmp_path: Path) -> None:
    """Files are 0600 and directories 0700, and their descriptors are not inherited."""
    safe_files.write("file", b"data", dir_fd=directory)
    below = safe_files.make_directory("below", dir_fd=directory)
    assert not os.get_inheritable(below)
    os.close(below)
    assert (tmp_path / "file").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "below").stat().st_mode) == 0o700


@pytest.mark.parametrize("target", ["existing", "missing"])
def test_links_are_never_written_through(directory: int, tmp_path: Path, target: str) -> None:
    """A link of the wanted name, dangling or not, is an error; its target stays as it was."""
    (tmp_path / "existing").write_text("theirs")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileExistsError):
        safe_files.write("link", b"ours", dir_fd=directory)
    assert (tmp_path / "existing").read_text() == "theirs"
    assert not (tmp_path / "missing").exists()


def test_linked_directories_are_not_entered(directory: int, tmp_path: Path) -> None:
    """A link in place of a directory is not opened."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        safe_files.open_directory("link", dir_fd=directory)


def test_removal_takes_links_and_not_their_targets(directory: int, tmp_path: Path) -> None:
    """A tree goes with the links in it; what they lead to stays; nothing to remove is no error."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to("kept")
    for name in ("tree", "link", "missing"):
        safe_files.remove(name, dir_fd=directory)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "kept"


def test_devices_are_not_read(tmp_path: Path) -> None:
    """Only regular files are opened for reading."""
    with pytest.raises(ValueError, match="/dev/zero is not a regular file"):
        safe_files.open_regular("/dev/zero")
    with pytest.raises(ValueError, match="is not a regular file"):
        safe_files.open_regular(str(tmp_path))
