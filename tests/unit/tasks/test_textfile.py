# SPDX-License-Identifier: MIT
"""The textfile: whole, readable by node_exporter, and never written through a link."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from aodasync.tasks.textfile import Textfile
from tests.unit.live.test_prometheus import FACTS

pytestmark = pytest.mark.anyio


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


def _textfile(path: Path) -> Textfile:
    return Textfile(str(path), lambda: FACTS, structlog.get_logger())


async def test_it_is_written_whole_and_readable(tmp_path: Path) -> None:
    """0644, in the place of an earlier one, with nothing beside it."""
    path = tmp_path / "aodasync.prom"
    path.write_text("old")
    await _textfile(path).write()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(text_string_to_metric_families(path.read_text()))
    assert _names(tmp_path) == ["aodasync.prom"]


async def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    """Whoever planted it: its target is as it was."""
    target = tmp_path / "target"
    target.write_text("kept")
    for name in ("aodasync.prom", ".aodasync.prom.new"):
        (tmp_path / name).symlink_to(target)
    await _textfile(tmp_path / "aodasync.prom").write()
    assert target.read_text() == "kept"
    assert not (tmp_path / "aodasync.prom").is_symlink()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that everybody can write."""
    tmp_path.chmod(0o777)
    return tmp_path


async def test_a_failure_is_logged_once_and_counted(shared: Path) -> None:
    """A directory that others can write, or that is not there, costs metrics alone."""
    textfile = _textfile(shared / "aodasync.prom")
    with capture_logs() as logs:
        await textfile.write()
        await textfile.write()
    assert [entry["event"] for entry in logs] == ["metrics_not_written"]
    assert (textfile.failed, textfile.written) == (2, 0)
    assert _names(shared) == []


async def test_without_a_path_there_is_nothing_to_do() -> None:
    """No file, no failure: a path may come with a reload."""
    textfile = Textfile("", lambda: FACTS, structlog.get_logger())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(textfile.run(), 0.05)
    assert (textfile.written, textfile.failed) == (0, 0)
