# SPDX-License-Identifier: MIT
"""``python -m tests.fuzz``: every target in a child of its own, for its share of the time.

As many run at a time as there are CPUs. A finding is kept as a file, and becomes a unit test.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.fuzz.targets import TARGETS

_LIMITS: Final = ("-timeout=20", "-rss_limit_mb=1400", "-max_len=65536", "-print_final_stats=1")
_SHOWN_LINES: Final = 30


def main() -> int:
    """Run the targets; 1 if one has a finding."""
    arguments = _arguments()
    keep = arguments.keep or Path(tempfile.mkdtemp(prefix="aodasync-fuzz-"))
    names = arguments.only or list(TARGETS)
    seconds = max(1, round(arguments.minutes * 60 / len(names)))
    print(f"seed {arguments.seed}, {seconds} s for each of {', '.join(names)}; files in {keep}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = pool.map(lambda name: _fuzz(name, seconds, arguments.seed, keep), names)
        found = [name for name, is_clean in zip(names, clean, strict=True) if not is_clean]
    print(f"findings: {', '.join(found) or 'none'}")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="of processor time for all targets (3)"
    )
    parser.add_argument("--seed", type=int, default=None, help="of libFuzzer (a new one)")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), metavar="TARGET")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="for findings and corpora")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(1 << 31) + 1
    return arguments


def _fuzz(name: str, seconds: int, seed: int, keep: Path) -> bool:
    """Whether the target ran its time without a finding."""
    corpus, seeds = keep / name / "corpus", keep / name / "seeds"
    for directory in (corpus, seeds):
        directory.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(TARGETS[name].seeds()):
        (seeds / str(number)).write_bytes(data)
    argv = [sys.executable, "-m", "tests.fuzz.child", name, *_LIMITS, f"-seed={seed}"]
    argv += [f"-max_total_time={seconds}", f"-artifact_prefix={keep / name}/"]
    done = subprocess.run(
        [*argv, str(corpus), str(seeds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    lines = done.stdout.splitlines()
    stats = dict(line.removeprefix("stat::").split(":") for line in lines if "stat::" in line)
    executed = stats.get("number_of_executed_units", "?").strip()
    told = [f"{name}: {executed} inputs, {'no finding' if done.returncode == 0 else 'FINDING'}"]
    if done.returncode:
        told += [f"    {line}" for line in lines[-_SHOWN_LINES:]]
    print("\n".join(told), flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
