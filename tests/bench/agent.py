# SPDX-License-Identifier: MIT
"""``python -m tests.bench.agent``: the product's agent on this host, unattached.

It starts as the product's command line does, and imports what that imports, in its order:
the stand-ins are put where the product looks for them later.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aodasync import probes
from aodasync.cli import main as cli
from aodasync.host import instance_lock, state_file
from aodasync.probes import compiler_child

if TYPE_CHECKING:
    from aodasync.probes.request_probe import RequestProbe


def main() -> int:
    """Run the agent on the stand-ins in the arguments; returns its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--types", type=Path, required=True, help="stands for /sys/kernel/btf")
    parser.add_argument("--state", type=Path, required=True, help="for /run, /var/cache, /var/lib")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--map", action="append", default=[], help="NAME=DESCRIPTOR, inherited")
    parser.add_argument("--lag", type=Path, help="file for samples of the loop's lag")
    arguments = parser.parse_args()
    types: Path = arguments.types
    state: Path = arguments.state

    async def open_probe(**settings: Any) -> RequestProbe:
        from tests.bench.unattached import open_unattached  # noqa: PLC0415  # numpy and more

        return await open_unattached(arguments, **settings)

    # As for a client that is built into the kernel: any directory will do.
    vars(probes).update(cifs_loaded=types.is_dir, open_probe=open_probe)
    vars(state_file).update(CACHE_DIR=state / "cache", STATE_DIR=state / "learnt")
    ahead = partial(compiler_child.give_head_start, state / "cache", client=types, btf=types)
    vars(compiler_child).update(give_head_start=ahead)
    instance_lock.RUN_DIR = state / "run"
    instance_lock.single_instance = partial(instance_lock.single_instance, instance_lock.RUN_DIR)
    return cli.main(["run", "--config", str(arguments.config), "--log-format", "json"])


if __name__ == "__main__":
    raise SystemExit(main())
