# SPDX-License-Identifier: MIT
"""Hooks: facts in the environment, none of the agent's rights, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.evidence.model import Trigger
from aodasync.process.children import Children
from aodasync.tasks import hooks as module
from aodasync.tasks.hooks import Hooks
from aodasync.verdict.judge import Verdict
from tests.builders import config, finding

pytestmark = pytest.mark.anyio

_VERDICT = Verdict("server", "high", "It is slow; $(touch /tmp/no) `id`.")


def _trigger() -> Trigger:
    return Trigger("latency", finding(), (), 0, 0, 1)


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[Hooks]:
    hooks = Hooks(config(on_bundle=command), Children(), structlog.get_logger())
    running = asyncio.create_task(hooks.run())
    yield hooks
    running.cancel()


async def _until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110  # a counter, as metrics read it
            await asyncio.sleep(0.01)


async def test_a_hook_has_the_facts_and_no_capability(tmp_path: Path) -> None:
    """No shell sees the values, and the child can gain no right."""
    out = tmp_path / "out"
    script = f'env > {out}; grep -E "^Cap(Eff|Bnd|Prm)|^NoNewPrivs" /proc/self/status >> {out}'
    async with _running("sh", "-c", script) as hooks:
        hooks.bundle_written(_trigger(), Path("/x/b.tar.zst"), _VERDICT)
        await _until(lambda: hooks.metrics.ok)
    text = out.read_text()
    for line in (
        *("BUNDLE=/x/b.tar.zst", "ANOMALY=latency", "SERVER=nas", "CAUSE=server"),
        f"SENTENCE={_VERDICT.sentence}",
        *("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"),
    ):
        assert line in text.splitlines(), line


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("echo no; exit 3", "3"),
        ("no-such-command", "127"),
        ("kill -SEGV $$", "killed by signal 11"),
        ("yes", "timed out"),
        ("yes >&2", "timed out"),
        ("sleep 61", "timed out"),
        ("trap '' INT TERM; sleep 61 & sleep 61 & wait", "timed out"),
        ("i=0; while [ $i -lt 50 ]; do sleep 61 & i=$((i+1)); done; wait", "timed out"),
        pytest.param(f"cat /proc/{os.getpid()}/mem", "exit", id="read the agent's memory"),
    ],
)
async def test_a_hook_that_fails_is_a_line_and_a_count(
    script: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does: fail, hang, fill its output, fork, read what is not its own."""
    monkeypatch.setattr(module, "_TIMEOUT_SEC", 0.5)
    with capture_logs() as logs:
        async with _running("sh", "-c", script) as hooks:
            hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
            await _until(lambda: hooks.metrics.failed)
    (line,) = logs
    assert (line["event"], line["hook"]) == ("hook_failed", "sh")
    assert part in line["error"]
    assert len(line["output"]) <= 400
    assert (hooks.metrics.ok, hooks.metrics.failed, hooks.metrics.dropped) == (0, 1, 0)
    await _until(lambda: not _sleepers())


def _sleepers() -> list[str]:
    """Processes that a hook of these tests started, and that live."""
    lines = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    return [line.decode() for line in lines if line == b"sleep\x0061\0"]


async def test_one_that_hangs_does_not_hold_the_next(tmp_path: Path) -> None:
    """Two run at once; whoever ordered waits for neither."""
    hang = tmp_path / "hang"
    hang.touch()
    script = f'if [ "$BUNDLE" = /first ]; then while [ -e {hang} ]; do sleep 0.1; done; fi'
    async with _running("sh", "-c", script) as hooks:
        for name in ("/first", "/second", "/third"):
            hooks.bundle_written(_trigger(), Path(name), _VERDICT)
        await _until(lambda: hooks.metrics.ok == 2)
        hang.unlink()
        await _until(lambda: hooks.metrics.ok == 3)


async def test_a_hook_has_none_of_the_agents_descriptors(tmp_path: Path) -> None:
    """Standard ones alone, and that of its own look."""
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, False)  # noqa: FBT003  # as every descriptor of ours
    out = tmp_path / "fds"
    async with _running("sh", "-c", f"ls /proc/self/fd > {out}") as hooks:
        hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
        await _until(lambda: hooks.metrics.ok)
    os.close(secret)
    assert len(out.read_text().split()) <= 4


async def test_too_many_are_dropped_and_counted() -> None:
    """Orders never wait."""
    hooks = Hooks(config(on_episode=("true",)), Children(), structlog.get_logger())
    for _ in range(100):
        hooks.episode_began(finding())
    assert hooks.metrics.dropped == 36


async def test_without_hooks_there_is_nothing_to_do() -> None:
    """Orders are none; a hook may come with a reload."""
    hooks = Hooks(config(), Children(), structlog.get_logger())
    hooks.episode_began(finding())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(hooks.run(), 0.05)
    assert hooks.metrics.dropped == 0
