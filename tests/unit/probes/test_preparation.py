# SPDX-License-Identifier: MIT
"""Starting the child: which interpreter, what its failures become."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aodasync.errors import CompileError, LayoutError, ProbeError, RequirementError
from aodasync.probes import compiler_child, preparation
from aodasync.probes.client_lists import ListLayout
from aodasync.probes.interface import Candidate
from aodasync.probes.preparation import (
    IMPORTED,
    bpf_sources,
    interpreters,
    prepare,
    require_bcc,
)
from aodasync.probes.program_loader import Program

pytestmark = pytest.mark.anyio


def interpreter(tmp_path: Path, body: str) -> str:
    """A stand-in for a Python interpreter: a shell script that gets the child's arguments."""
    path = tmp_path / "python3"
    path.write_text(f"#!/bin/sh\ncat > {tmp_path}/request\n{body}\n")
    path.chmod(0o755)
    return str(path)


def answering(tmp_path: Path, answer: dict[str, Any]) -> str:
    """An interpreter whose child answers with this."""
    (tmp_path / "answer").write_text(json.dumps(answer))
    return interpreter(tmp_path, f"cat {tmp_path}/answer")


def noting_arguments(tmp_path: Path) -> str:
    """One whose children add their arguments to a file, and answer with nothing."""
    python = answering(tmp_path, {})
    script = Path(python).read_text().replace("cat >", f'echo "$@" >> {tmp_path}/argv\ncat >')
    Path(python).write_text(script)
    return python


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_an_answer_becomes_programs(tmp_path: Path) -> None:
    """Targets and byte code are joined; the request names sources, numbers and cache."""
    target = {
        "role": "alloc",
        "program": "request_alloc",
        "function": "f",
        "attach": "fexit",
        "btf_id": 7,
    }
    python = answering(
        tmp_path,
        {
            "object": "cifs",
            "targets": [target],
            "tried": [{"role": "alloc", "target": "f", "chosen": True, "why": "known"}],
            "programs": {"request_alloc": "AAE="},
            "notes": ["a note"],
            "lists": dict.fromkeys(("connections", "next_connection", "requests"), 8)
            | {"next_request": 0, "connection_id": 56, "credits": -1},
            "steps_ms": {"layout": 1.5},
            "byte_code": "imported",
            "compiler": "",
            "key": "abc",
        },
    )
    prepared = await prepare(
        cache_dir=tmp_path / "c", imported=tmp_path / "i", python=python, exclude=["g"]
    )
    assert prepared.btf_object == "cifs"
    assert prepared.programs == (Program("alloc", "request_alloc", b"\0\1", "fexit", "f", 7),)
    assert prepared.tried == (Candidate("alloc", "f", chosen=True, why="known"),)
    assert prepared.notes == ("a note",)
    assert prepared.lists == ListLayout(8, 8, 8, 0, 56, -1)
    assert prepared.steps_ms == {"layout": 1.5}
    assert (prepared.byte_code, prepared.compiler, prepared.key) == ("imported", "", "abc")
    request = json.loads((tmp_path / "request").read_text())
    assert request["cache"] == str(tmp_path / "c")
    assert request["imported"] == str(tmp_path / "i")
    assert request["exclude"] == ["g"]
    assert request["definitions"]["EVENT_BYTES"] == 96
    assert (request["sources"], request["source"]) == (str(bpf_sources()), "smb_requests.bpf.c")


@pytest.mark.parametrize(
    ("kind", "error", "hint"),
    [
        ("layout", LayoutError, "doctor"),
        ("btf", ProbeError, "5.11"),
        ("compile", CompileError, "doctor"),
        ("bcc", RequirementError, "apt install python3-bpfcc"),
    ],
)
async def test_failures_have_their_type_and_a_hint(
    tmp_path: Path, kind: str, error: type[Exception], hint: str
) -> None:
    """Each kind of problem becomes one error that names the problem and the fix."""
    python = answering(tmp_path, {"error": {"kind": kind, "what": "the reason"}})
    with pytest.raises(error, match="the reason") as caught:
        await prepare(cache_dir=None, python=python)
    assert type(caught.value) is error
    assert hint in str(caught.value)


async def test_the_compilers_messages_are_in_the_error(tmp_path: Path) -> None:
    """What clang printed is part of what is told."""
    answer = {"error": {"kind": "compile", "what": "failed"}}
    (tmp_path / "answer").write_text(json.dumps(answer))
    python = interpreter(tmp_path, f"echo 'x.c:1: no such thing' >&2; cat {tmp_path}/answer")
    with pytest.raises(CompileError, match="no such thing"):
        await prepare(cache_dir=None, python=python)


async def test_a_crashed_child_is_told_with_its_status(tmp_path: Path) -> None:
    """A compiler that dies leaves its status and its last words."""
    python = interpreter(tmp_path, "echo LLVM ERROR >&2; kill -SEGV $$")
    with pytest.raises(CompileError, match=r"ended with -11.*LLVM ERROR"):
        await prepare(cache_dir=None, python=python)


async def test_a_child_past_its_deadline_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole group goes, and nothing waits for it; here, as soon as the group is there."""
    sleeper = tmp_path / "sleeper"
    limit, expiring = asyncio.timeout, set[asyncio.Task[None]]()

    def once_running(_seconds: float) -> asyncio.Timeout:
        deadline = limit(None)

        async def expire() -> None:
            while not sleeper.exists() or not sleeper.read_text():  # noqa: ASYNC110  # not ours
                await asyncio.sleep(0.01)
            deadline.reschedule(asyncio.get_running_loop().time())

        expiring.add(asyncio.create_task(expire()))
        return deadline

    monkeypatch.setattr(asyncio, "timeout", once_running)
    python = interpreter(tmp_path, f"sleep 60 & echo $! > {sleeper}; wait")
    with pytest.raises(CompileError, match="took more than"):
        await prepare(cache_dir=None, python=python)
    pid = int(sleeper.read_text())
    async with limit(20):  # a killed process ends when it gets a processor
        while is_running(pid):  # noqa: ASYNC110  # a process that is no child has no event
            await asyncio.sleep(0.01)


async def test_the_next_interpreter_is_tried_without_bcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that lack bcc are named in the end."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lacking = {"error": {"kind": "bcc", "what": "no bcc"}}
    both = (answering(tmp_path / "a", lacking), answering(tmp_path / "b", lacking))
    monkeypatch.setattr(preparation, "interpreters", lambda _: both)
    with pytest.raises(RequirementError) as caught:
        await prepare(cache_dir=None)
    assert all(python in caught.value.what for python in both)


async def test_the_first_request_goes_to_the_child_with_a_head_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started once, with what to read ahead; later requests start their own."""
    python = noting_arguments(tmp_path)
    monkeypatch.setattr(compiler_child, "interpreters", lambda: (python,))
    compiler_child.give_head_start(tmp_path / "cache", client=tmp_path, btf=tmp_path / "btf")
    await require_bcc(python)
    await require_bcc(python)
    ahead, later = ((tmp_path / "argv").read_text()).splitlines()
    expected = [str(tmp_path / "btf"), "/proc/kallsyms", str(tmp_path / "cache"), str(IMPORTED)]
    assert ahead == " ".join([later, *expected])


@pytest.mark.parametrize("other", ["interpreter", "time"])
async def test_what_was_read_ahead_for_another_request_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Of another interpreter; or long ago, when the client's addresses were others."""
    python = early = noting_arguments(tmp_path)
    if other == "interpreter":
        early = f"{python}-other"
        os.link(python, early)
    if other == "time":
        monkeypatch.setattr(compiler_child, "_FRESH_SEC", 0.0)
    monkeypatch.setattr(compiler_child, "interpreters", lambda: (early,))
    compiler_child.give_head_start(tmp_path, client=tmp_path)
    child = compiler_child._AHEAD[0].start()
    await require_bcc(python)
    assert child.returncode == -signal.SIGKILL


async def test_without_a_client_there_is_no_head_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the first mount nothing is read; nor is it an error that there is no interpreter."""
    python = interpreter(tmp_path, f"touch {tmp_path}/started")
    monkeypatch.setattr(compiler_child, "interpreters", lambda: (python,))
    compiler_child.give_head_start(tmp_path, client=tmp_path / "none")
    monkeypatch.setattr(compiler_child, "interpreters", tuple)
    compiler_child.give_head_start(tmp_path, client=tmp_path)
    assert not (tmp_path / "started").exists()


def test_the_distributions_python_is_tried_first() -> None:
    """It has bcc; the agent's own comes next; each is tried once and exists."""
    found = interpreters()
    assert len(set(found)) == len(found)
    assert all(os.access(path, os.X_OK) for path in found)
    assert sys.executable in found
    if os.access("/usr/bin/python3", os.X_OK):
        assert found[0] == "/usr/bin/python3"
    assert interpreters("/opt/python") == ("/opt/python",)
