#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A steady, bounded mix of file operations: create, write, read, stat, rename, list, unlink.

It ends after ``--seconds`` or ``--operations``, whichever comes first, and prints one JSON line
with how many operations of each kind it did and which errors it met.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

CONTENT = os.urandom(65536)
FEWEST_FILES = 4


class Workload:
    """The files it made so far in one directory, and a source of chance."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.chance = random.Random(seed)  # noqa: S311 - a repeatable sequence is the point
        self.files: list[Path] = []
        self.made = 0

    def step(self) -> str:
        """Do one operation, chosen by chance, and return its kind."""
        few = len(self.files) < FEWEST_FILES
        kind = "create" if few else self.chance.choice(tuple(OPERATIONS))
        OPERATIONS[kind](self)
        return kind

    def any(self) -> Path:
        """Return one of the files."""
        return self.chance.choice(self.files)


def _create(work: Workload) -> None:
    work.made += 1
    path = work.directory / f"file-{work.made}"
    path.write_bytes(CONTENT[: work.chance.choice((512, 4096, 65536))])
    work.files.append(path)


def _write(work: Workload) -> None:
    with work.any().open("r+b") as file:
        file.write(CONTENT[:4096])
        os.fsync(file.fileno())


def _read(work: Workload) -> None:
    with work.any().open("rb") as file:
        # Out of the page cache, or nothing would reach the wire.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.read()


def _rename(work: Workload) -> None:
    old = work.any()
    new = old.with_name(old.name + "r")
    old.rename(new)
    work.files[work.files.index(old)] = new


def _unlink(work: Workload) -> None:
    path = work.any()
    path.unlink()
    work.files.remove(path)


OPERATIONS: dict[str, Callable[[Workload], object]] = {
    "create": _create,
    "list": lambda work: list(work.directory.iterdir()),
    "read": _read,
    "rename": _rename,
    "stat": lambda work: work.any().stat(),
    "unlink": _unlink,
    "write": _write,
}


def main() -> int:
    """Run the workload that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default=os.environ.get("LAB_MOUNT"), type=Path)
    parser.add_argument("--rate", type=float, default=20, help="operations a second (20)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (60)")
    parser.add_argument("--operations", type=int, default=sys.maxsize, help="how many at most")
    parser.add_argument("--seed", type=int, default=1, help="of the sequence of operations (1)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    work = Workload(options.directory / f"workload-{os.getpid()}", options.seed)
    work.directory.mkdir()
    done: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    begin = time.monotonic()
    try:
        for turn in range(1, options.operations + 1):
            try:
                done[work.step()] += 1
            except OSError as error:
                failed[error.strerror or str(error)] += 1
            spent = time.monotonic() - begin
            if spent >= options.seconds:
                break
            time.sleep(max(0.0, turn / options.rate - spent))
    finally:
        seconds = round(time.monotonic() - begin, 1)
        counts = {"operations": done.total(), "seconds": seconds, "done": done, "failed": failed}
        print(json.dumps(counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
