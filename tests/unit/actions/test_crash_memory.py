# SPDX-License-Identifier: MIT
"""An action that ran at two crashes in a row is left out until something changed."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Final

import pytest

from aodasync.actions import Action, ActionContext, Collected, Cost
from aodasync.actions.crash_memory import CrashMemory, retry
from aodasync.actions.crash_notes import CrashNotes
from aodasync.actions.running import Run, run_actions
from aodasync.host import state_file

pytestmark = pytest.mark.anyio


async def _nothing(_: ActionContext) -> Collected:
    return Collected()


GOOD: Final = Action("good", "good.log", Cost.TABLE, _nothing)
BAD: Final = Action("bad", "bad.log", Cost.GUARDED, _nothing)


def _life(state: Path, *running: Action, version: str = "1") -> CrashMemory:
    """An agent that starts and crashes while these run."""
    memory = CrashMemory(state, version)
    memory.load()
    for action in (GOOD, *running):
        memory.begin(action)
    memory.end(GOOD)
    return memory


def _run(context: ActionContext, memory: CrashMemory) -> Run:
    notes = CrashNotes(memory)
    return Run(asyncio.Semaphore(2), asyncio.Lock(), context, lambda _result: None, notes=notes)


def _next(state: Path, version: str = "1") -> frozenset[str]:
    """What an agent that starts now leaves out."""
    memory = CrashMemory(state, version)
    memory.load()
    return memory.left_out


def test_two_crashes_in_a_row_are_enough(tmp_path: Path) -> None:
    """One is not; and what had ended by then is not blamed."""
    _life(tmp_path, BAD)
    assert _life(tmp_path, BAD).left_out == frozenset()
    assert _next(tmp_path) == {"bad"}
    assert _next(tmp_path) == {"bad"}
    assert [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()] == [0o600] * 2


def test_a_life_between_that_did_not_crash_in_it_counts_anew(tmp_path: Path) -> None:
    """Neither one that ended in order nor one that crashed in another action."""
    _life(tmp_path, BAD)
    _life(tmp_path)
    _life(tmp_path, BAD)
    assert _next(tmp_path) == frozenset()
    _life(tmp_path, BAD)
    _life(tmp_path, GOOD)
    _life(tmp_path, BAD)
    assert _next(tmp_path) == frozenset()


def test_another_version_tries_again(tmp_path: Path) -> None:
    """Of the agent, that is: an upgrade may have fixed it."""
    for _ in range(2):
        _life(tmp_path, BAD)
    assert _next(tmp_path, version="2") == frozenset()


def test_retry_lets_it_run_again(tmp_path: Path) -> None:
    """It names what was left out, and only once; an agent that runs meanwhile changes nothing."""
    assert retry(tmp_path / "none") == ()
    for _ in range(2):
        _life(tmp_path, BAD)
    assert _next(tmp_path) == {"bad"}
    running = _life(tmp_path)
    assert retry(tmp_path) == ("bad",)
    assert retry(tmp_path) == ()
    running.begin(GOOD)
    running.end(GOOD)
    assert _next(tmp_path) == frozenset()


def test_an_action_of_two_bundles_runs_until_both_have_ended(tmp_path: Path) -> None:
    """Each of two crashes finds it running still in one of them."""
    for _ in range(2):
        memory = _life(tmp_path, BAD, BAD)
        memory.end(BAD)
    assert _next(tmp_path) == {"bad"}


@pytest.mark.parametrize("content", ["", "[]", '{"version": "1", "running": 3}'])
def test_a_corrupt_state_is_an_error_once(tmp_path: Path, content: str) -> None:
    """It is begun anew: nothing is left out."""
    (tmp_path / "running-actions.json").write_text(content)
    with pytest.raises((ValueError, TypeError)):
        _next(tmp_path)
    assert _next(tmp_path) == frozenset()


def test_a_state_that_cannot_be_kept_costs_nothing(tmp_path: Path) -> None:
    """On a file system that is read-only, actions run all the same."""
    memory = _life(tmp_path)
    (tmp_path / "running-actions.json").unlink()
    (tmp_path / "running-actions.json").mkdir()
    memory.begin(BAD)
    memory.end(BAD)
    with pytest.raises(OSError, match="directory"):
        _next(tmp_path)


async def test_what_is_left_out_has_an_entry_and_does_not_run(
    tmp_path: Path, context: ActionContext
) -> None:
    """Others run, and while they do the state names them."""
    seen: list[object] = []

    async def note(_: ActionContext) -> Collected:
        seen.append((state_file.load(tmp_path, "running-actions.json") or {})["running"])
        return Collected()

    memory = CrashMemory(tmp_path, "1")
    memory.load()
    memory.crashes["bad"] = 2
    notes = Action("notes", "notes.log", Cost.TABLE, note)
    run = _run(context, memory)
    bad, ok = await run_actions((BAD, notes), run)
    assert bad.error == "left out: it ran at two crashes in a row (hint: aodasync doctor --retry)"
    assert (ok.error, seen) == ("", [["notes"]])
    assert (state_file.load(tmp_path, "running-actions.json") or {})["running"] == []


async def test_what_begins_at_once_is_one_state_on_disk(
    tmp_path: Path, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each finds all three named before it runs, and none is named once all have ended."""
    states: list[list[str]] = []
    seen: list[list[str]] = []
    save = state_file.save

    def noted(directory: Path, file: str, state: dict[str, list[str]], **how: bool) -> None:
        states.append(state.get("running", []))
        save(directory, file, state, **how)

    async def look(_: ActionContext) -> Collected:
        seen.append((state_file.load(tmp_path, "running-actions.json") or {})["running"])
        await asyncio.sleep(0.05)
        return Collected()

    memory = CrashMemory(tmp_path, "1")
    memory.load()
    monkeypatch.setattr(state_file, "save", noted)
    three = tuple(Action(name, f"{name}.log", Cost.VOLATILE, look) for name in "abc")
    run = _run(context, memory)
    await run_actions(three, run)
    assert seen == [["a", "b", "c"]] * 3
    assert (states[0], states[-1]) == (["a", "b", "c"], [])
    assert len(states) <= 4
