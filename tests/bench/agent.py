# SPDX-License-Identifier: MIT
"""``python -m tests.bench.agent``: the product's agent on this host, unattached."""

from __future__ import annotations

import argparse
from pathlib import Path

from aodasync.host.memory_tuning import stay_small


def main() -> int:
    """Start as the product's command line does; returns its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--types", type=Path, required=True, help="stands for /sys/kernel/btf")
    parser.add_argument("--state", type=Path, required=True, help="for /run, /var/cache, /var/lib")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--map", action="append", default=[], help="NAME=DESCRIPTOR, inherited")
    parser.add_argument("--lag", type=Path, help="file for samples of the loop's lag")
    arguments = parser.parse_args()
    stay_small()
    from tests.bench.unattached import run  # noqa: PLC0415  # imports asyncio: after the above

    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
