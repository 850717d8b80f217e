# SPDX-License-Identifier: MIT
"""What is learnt is kept in a file of root's alone, replaced at once, and ignored when corrupt."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync import learnt
from aodasync.detection.engine import Engine
from aodasync.tasks import memory
from aodasync.tasks.memory import Memory
from tests.unit.builders import config, drift_anomaly


def test_saved_and_loaded(tmp_path: Path) -> None:
    """The directory is made, 0700; the file is 0600; nothing else is left; the newest counts."""
    state = tmp_path / "lib" / "aodasync"
    assert learnt.load(state) is None
    learnt.save(state, {"drift": 1})
    learnt.save(state, {"drift": 2})
    assert learnt.load(state) == {"drift": 2}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()] == [0o600]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Neither when reading nor when writing: what a link points at stays as it is."""
    target = tmp_path / "target"
    target.write_text("{}")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in ("learnt.json", "learnt.json.new"):
        (state / name).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        learnt.load(state)
    learnt.save(state, {"drift": 1})
    assert target.read_text() == "{}"
    assert learnt.load(state) == {"drift": 1}


def test_a_failed_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rename fails, the former state is still whole."""
    learnt.save(tmp_path, {"drift": 1})

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        learnt.save(tmp_path, {"drift": 2})
    assert learnt.load(tmp_path) == {"drift": 1}


def _engine() -> Engine:
    return Engine(config(drift_anomaly()), str)


@pytest.mark.anyio
@pytest.mark.parametrize("content", ["", "{", "[]", '{"drift": {"version": 9}}', '{"drift": 3}'])
async def test_a_corrupt_state_is_ignored_with_a_warning(tmp_path: Path, content: str) -> None:
    """The agent starts as one that has learnt nothing, and says why."""
    (tmp_path / "learnt.json").write_text(content)
    engine = _engine()
    with capture_logs() as logs:
        await Memory(engine, tmp_path, structlog.get_logger())._recall()
    assert [entry["event"] for entry in logs] == ["learnt_state_ignored"]
    assert engine.export() == _engine().export()


@pytest.mark.anyio
async def test_nothing_is_saved_before_it_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that ends at once does not forget what another life learnt."""
    monkeypatch.setattr(memory, "EVERY_SEC", 3600)
    kept = Memory(_engine(), tmp_path, structlog.get_logger())
    await kept.save()
    assert learnt.load(tmp_path) is None
    kept._recalled = True
    await kept.save()
    assert learnt.load(tmp_path) == _engine().export()
