# SPDX-License-Identifier: MIT
"""A hundred SIGKILLs at random moments of collection: what is visible afterwards is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from aodasync.bundle.archive import load_recording, verify
from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX, MANIFEST_SUFFIX, PARTIAL_SUFFIX
from aodasync.bundle.output_dir import OutputDirectory
from tests.builders import archives

KILLS: Final = 100
ROWS: Final = 5_000

_LATEST_SEC: Final = 0.4

# Forks a collecting process for each line it reads, and tells its pid once it collects.
_NURSERY: Final = """
import asyncio, os, signal, sys
from pathlib import Path
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.actions import UserAction
from tests.kernel.collecting import collector, trigger
from tests.builders import config
script = "seq {n}0000; sleep 0.0{n}; exec sleep 0.0{n}"
own = tuple(UserAction(f"a{n}", ("sh", "-c", script.format(n=n)), 5.0) for n in range(1, 5))
names = tuple(action.name for action in own)
async def main():
    with OutputDirectory.prepare(Path(sys.argv[1])) as output:
        queue = asyncio.Queue()
        running = asyncio.create_task(
            collector(config(user_actions=own), output, rows=int(sys.argv[2])).run(queue)
        )
        print(os.getpid(), flush=True)
        os.dup2(2, 1)
        while True:
            queue.put_nowait(trigger(*names, "mounts"))
            await asyncio.sleep(0.12)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        asyncio.run(main())
"""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts collecting processes in no time: what they import is imported once."""
    process = subprocess.Popen(
        [sys.executable, "-c", _NURSERY, str(tmp_path / "aod"), str(ROWS)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def _start(nursery: subprocess.Popen[str]) -> int:
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write("\n")
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def _stage(batches: Path) -> str:
    """What the process was at when it was killed."""
    found = {path.name for path in batches.iterdir() if path.name.endswith(PARTIAL_SUFFIX)}
    if any(name.endswith(ARCHIVE_SUFFIX + PARTIAL_SUFFIX) for name in found):
        return "packing"
    if any((batches / name / "manifest.json").exists() for name in found):
        return "collecting"
    return "beginning" if found else "between bundles"


def _orphans(nursery: int) -> set[int]:
    """Children of this process that are not zombies, the nursery aside."""
    found = set()
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if int(child) == nursery:
            continue
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            os.waitpid(int(child), 0)
        else:
            found.add(int(child))
    return found


@pytest.mark.usefixtures("adopting")
def test_killed_at_a_hundred_random_moments_nothing_broken_is_left(
    tmp_path: Path, nursery: subprocess.Popen[str]
) -> None:
    """No broken archive under a final name; leftovers become bundles or go; no child is left."""
    seed = time.time_ns()
    moments = random.Random(seed)  # noqa: S311  # no secret
    output, batches = tmp_path / "aod", tmp_path / "aod" / "batches"
    stages: Counter[str] = Counter()
    salvaged = removed = whole = 0
    for _ in range(KILLS):
        pid = _start(nursery)
        time.sleep(moments.uniform(0, _LATEST_SEC))
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.001)
        stages[_stage(batches)] += 1
        with OutputDirectory.prepare(output) as prepared:
            salvaged += prepared.salvaged
            removed += prepared.removed
            left = list(archives(prepared.batches))
        for path in left:
            assert verify(path) == (), f"seed {seed}"
            assert len(load_recording(path)[1]) == ROWS
            path.unlink()
            path.with_name(path.name.replace(ARCHIVE_SUFFIX, MANIFEST_SUFFIX)).unlink()
        whole += len(left)
    deadline_sec = time.monotonic() + 5
    while _orphans(nursery.pid) and time.monotonic() < deadline_sec:
        time.sleep(0.05)
    assert _orphans(nursery.pid) == set()
    print(f"seed {seed}: killed while {dict(stages)}; {whole} whole bundles,")
    print(f"{salvaged} of them salvaged; {removed} leftovers removed")
    assert salvaged > 0
    assert stages["collecting"] > 0
