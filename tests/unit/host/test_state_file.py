# SPDX-License-Identifier: MIT
"""State is kept in files that only root reads, each replaced at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

import pytest

from aodasync.host.state_file import load, save

_FILE: Final = "state.json"


def test_saved_and_loaded(tmp_path: Path) -> None:
    """The directory is made, 0700; the file is 0600; nothing else is left; the newest counts."""
    state = tmp_path / "lib" / "aodasync"
    assert load(state, _FILE) is None
    save(state, _FILE, {"drift": 1})
    save(state, _FILE, {"drift": 2})
    assert load(state, _FILE) == {"drift": 2}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()] == [0o600]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Neither when reading nor when writing: what a link points at stays as it is."""
    target = tmp_path / "target"
    target.write_text("{}")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in (_FILE, f"{_FILE}.new"):
        (state / name).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        load(state, _FILE)
    save(state, _FILE, {"drift": 1})
    assert target.read_text() == "{}"
    assert load(state, _FILE) == {"drift": 1}


def test_a_failed_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rename fails, the former state is still whole."""
    save(tmp_path, _FILE, {"drift": 1})

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, _FILE, {"drift": 2})
    assert load(tmp_path, _FILE) == {"drift": 1}


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "x" * (5 << 20)])
def test_what_is_no_state_is_an_error(tmp_path: Path, content: str) -> None:
    """Empty, cut off, of another shape, nested too deeply, or too large."""
    (tmp_path / _FILE).write_text(content)
    with pytest.raises((ValueError, TypeError)):
        load(tmp_path, _FILE)
