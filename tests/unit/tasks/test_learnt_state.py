# SPDX-License-Identifier: MIT
"""What is learnt is kept over a restart, and ignored when its file is corrupt."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.detection.engine import Engine
from aodasync.host import state_file
from aodasync.tasks import learnt_state
from aodasync.tasks.learnt_state import LearntState
from tests.builders import config, drift_anomaly


def _engine() -> Engine:
    return Engine(config(drift_anomaly()), str)


@pytest.mark.anyio
@pytest.mark.parametrize("content", ["", "{", "[]", '{"drift": {"version": 9}}', '{"drift": 3}'])
async def test_a_corrupt_state_is_ignored_with_a_warning(tmp_path: Path, content: str) -> None:
    """The agent starts as one that has learnt nothing, and says why."""
    (tmp_path / "learnt.json").write_text(content)
    engine = _engine()
    with capture_logs() as logs:
        await LearntState(engine, tmp_path, structlog.get_logger())._recall()
    assert [entry["event"] for entry in logs] == ["learnt_state_ignored"]
    assert engine.export() == _engine().export()


@pytest.mark.anyio
async def test_nothing_is_saved_before_it_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that ends at once does not forget what another life learnt."""
    monkeypatch.setattr(learnt_state, "EVERY_SEC", 3600)
    kept = LearntState(_engine(), tmp_path, structlog.get_logger())
    await kept.save()
    assert state_file.load(tmp_path, "learnt.json") is None
    kept._recalled = True
    await kept.save()
    assert state_file.load(tmp_path, "learnt.json") == _engine().export()
