# SPDX-License-Identifier: MIT
"""One agent a host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aodasync.errors import AlreadyRunningError, OutputDirectoryError
from aodasync.host.instance_lock import single_instance


def test_a_second_agent_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    """The error names the process id of the first; the lock is free again after it."""
    with (
        single_instance(tmp_path),
        pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}"),
        single_instance(tmp_path),
    ):
        pytest.fail("two agents at once")
    with single_instance(tmp_path):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_symlink_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """What somebody planted there is neither opened nor written."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(OutputDirectoryError), single_instance(tmp_path):
        pytest.fail("followed a symlink")
    assert victim.read_text() == "precious"


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """They could replace the lock and the control socket."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    run_dir.chmod(0o777)
    with pytest.raises(OutputDirectoryError, match="others can write"), single_instance(run_dir):
        pytest.fail("used what anybody may write")
