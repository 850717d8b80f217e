# SPDX-License-Identifier: MIT
"""The textfile: whole, readable by node_exporter, and never written through a link."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from aodasync.host.threads import LEFT_BEHIND
from aodasync.tasks import textfile as module
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


@pytest.mark.parametrize("name", ["a.prom", f"{'x' * 250}.prom"])
async def test_what_fails_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A full disk, or a directory of that name; what was there is as it was."""
    (tmp_path / name).mkdir()
    with capture_logs() as logs:
        await _textfile(tmp_path / name).write()
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text("earlier")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)
    with capture_logs() as more:
        await _textfile(tmp_path / name).write()
    said = [entry["error"] for entry in (*logs, *more)]
    assert said == ["is a directory", "no space left on device"]
    assert (_names(tmp_path), (tmp_path / name).read_text()) == ([name], "earlier")


async def test_a_link_for_a_directory_is_named(tmp_path: Path) -> None:
    """Not as what is no directory: it looks like one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with capture_logs() as logs:
        await _textfile(tmp_path / "link/a.prom").write()
        await _textfile(tmp_path / "none/a.prom").write()
        await _textfile(tmp_path / "real/a.prom").write()
    errors = [entry["error"] for entry in logs]
    link = tmp_path / "link"
    assert errors == [f"{link} is a symbolic link: name its target", "no such file or directory"]


async def test_a_directory_of_another_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent gave up the right to write there, so "permission denied" would puzzle root."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with capture_logs() as logs:
        await _textfile(tmp_path / "a.prom").write()
    assert [entry["error"] for entry in logs] == [
        f"{tmp_path} is another user's: chown root {tmp_path}"
    ]
    assert _names(tmp_path) == []


async def test_another_path_that_fails_is_news(tmp_path: Path) -> None:
    """After a reload: whoever mistyped it once may do so again."""
    textfile = _textfile(tmp_path / "one/a.prom")
    with capture_logs() as logs:
        await textfile.write()
        textfile.reconfigure(str(tmp_path / "two/a.prom"))
        await textfile.write()
    assert [Path(entry["path"]).parent.name for entry in logs] == ["one", "two"]


async def test_a_directory_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on a server's share may: the agent stops at once all the same."""
    hangs = threading.Event()
    monkeypatch.setattr(module, "_write", lambda *_: hangs.wait(20))
    running = asyncio.create_task(_textfile(tmp_path / "a.prom").run())
    await asyncio.sleep(0.1)
    begun_sec = time.monotonic()
    running.cancel()
    await asyncio.wait({running})
    assert time.monotonic() - begun_sec < 1
    hangs.set()
    while LEFT_BEHIND.now:  # noqa: ASYNC110  # the loop is told
        await asyncio.sleep(0.01)
