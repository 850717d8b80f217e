# SPDX-License-Identifier: MIT
"""The console script, and ``python -m aodasync``."""

import sys
import warnings

from aodasync.host.signals import hold

__all__ = ["main"]


def main() -> int:
    """Run one command; returns its exit code."""
    hold()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries warn developers, of what a bundle holds, too
    try:
        from aodasync.cli.main import main as run_command  # noqa: PLC0415  # after the signals

        return run_command()
    except KeyboardInterrupt:  # while it imported, or flushed at its end
        return 128 + 2


if __name__ == "__main__":
    raise SystemExit(main())
