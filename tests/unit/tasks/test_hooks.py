# SPDX-License-Identifier: MIT
"""Hooks: facts in the environment, none of the agent's rights, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
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


def _trigger(server: str = "nas") -> Trigger:
    return Trigger("latency", replace(finding(), server=server), (), 0, 0, 1)


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


async def test_facts_are_one_line_each_that_steers_no_terminal(tmp_path: Path) -> None:
    """A name with a newline makes no second variable, and one that is no text stops no hook."""
    out = tmp_path / "out"
    path = Path("/x/\udcff=$(id)\u200b.tar.zst")
    verdict = replace(_VERDICT, sentence="one\nBUNDLE=/etc/shadow\r\x1b[2J\0")
    async with _running("sh", "-c", f"env > {out}") as hooks:
        hooks.bundle_written(_trigger("na\ns \ud800"), path, verdict)
        await _until(lambda: hooks.metrics.ok)
    shown = "\N{REPLACEMENT CHARACTER}"
    lines = out.read_bytes().split(b"\n")
    assert [line for line in lines if line.startswith(b"BUNDLE=")] == [b"BUNDLE=" + bytes(path)]
    assert f"SERVER=na{shown}s {shown}".encode() in lines
    assert f"SENTENCE=one{shown}BUNDLE=/etc/shadow{shown}{shown}[2J{shown}".encode() in lines


async def test_a_program_may_have_any_name(tmp_path: Path) -> None:
    """One with "=" in its path is run as any other, with its own words and no others."""
    program, out = tmp_path / "a=b" / "up=load", tmp_path / "out"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" "$BUNDLE" > {out}\n')
    program.chmod(0o755)
    words = ("BUNDLE=no", "-i", "", "a b", "$(id)", "*", "\N{SNOWMAN}")
    async with _running(str(program), *words) as hooks:
        hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
        await _until(lambda: hooks.metrics.ok)
    assert out.read_text().split("|") == [*words, "/x", ""]


@pytest.mark.parametrize(
    ("make", "part"),
    [
        pytest.param(lambda path: path.mkdir(), "Permission denied", id="a directory"),
        pytest.param(lambda path: path.write_text("#!/bin/sh\n"), "denied", id="not executable"),
        pytest.param(Path.exists, "No such file", id="gone"),
        pytest.param(lambda path: path.symlink_to(path.name), "Too many levels", id="a loop"),
        pytest.param(lambda path: os.mkfifo(path, 0o755), "Permission denied", id="a FIFO"),
    ],
)
async def test_a_program_that_cannot_be_run_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], object], part: str
) -> None:
    """And costs no more than this: the next order is taken."""
    program = tmp_path / "hook"
    make(program)
    with capture_logs() as logs:
        async with _running(str(program)) as hooks:
            hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
            hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
            await _until(lambda: hooks.metrics.failed == 2)
    assert {line["hook"] for line in logs} == {str(program)}
    assert all(str(program) in line["error"] and part in line["error"] for line in logs), logs


@pytest.mark.parametrize("name", ["no-such-hook", "", " ", "-i"])
async def test_a_program_that_is_not_installed_is_named(name: str) -> None:
    """Not the launcher's or env's idea of it."""
    with capture_logs() as logs:
        async with _running(name) as hooks:
            hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
            await _until(lambda: hooks.metrics.failed)
    assert [line["error"] for line in logs] == [f"{name} is not installed"]


@pytest.mark.parametrize(
    ("script", "took_sec"),
    [
        ("exec >&- 2>&-; sleep 0.3", 5),
        ("setsid sleep 3 & exit 0", 2),
        ("(setsid sleep 3 >/dev/null 2>&1 &); exit 0", 2),
        ("head -c 20000000 /dev/zero", 15),
        ("cat", 5),
    ],
)
async def test_what_ends_well_is_well(script: str, took_sec: float) -> None:
    """Closes its output, leaves a daemon that holds it, prints too much, reads its input."""
    begun_sec = time.monotonic()
    async with _running("sh", "-c", script) as hooks:
        hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
        await _until(lambda: hooks.metrics.ok)
    assert time.monotonic() - begun_sec < took_sec


async def test_one_that_outlives_its_killing_is_not_started_again() -> None:
    """It hangs in the kernel, and the next one would as well."""
    children = Children()
    children._left_behind[1] = ("/bin/true", "x")
    hooks = Hooks(config(on_bundle=("/bin/true", "x")), children, structlog.get_logger())
    running = asyncio.create_task(hooks.run())
    with capture_logs() as logs:
        hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
        await _until(lambda: hooks.metrics.failed)
    running.cancel()
    assert [line["error"] for line in logs] == ["an earlier /bin/true still hangs in the kernel"]


async def test_what_has_no_time_at_the_end_is_counted_and_logged() -> None:
    """At the stop those that run are waited for, and cut off; those that wait are dropped."""
    with capture_logs() as logs:
        async with _running("sleep", "61") as hooks:
            for _ in range(5):
                hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
            await hooks.finish(0.5)
        await _until(lambda: hooks.metrics.failed == 2)
    assert hooks.metrics.dropped == 3
    assert {(line["hook"], line["error"]) for line in logs} == {("sleep", "the agent stopped")}
    await _until(lambda: not _sleepers())


async def test_the_end_waits_no_longer_than_hooks_run() -> None:
    """Without any it does not wait at all."""
    async with _running("true") as hooks:
        begun_sec = time.monotonic()
        await hooks.finish(20)
        assert time.monotonic() - begun_sec < 0.1
        hooks.bundle_written(_trigger(), Path("/x"), _VERDICT)
        await hooks.finish(20)
        assert hooks.metrics.ok == 1


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
