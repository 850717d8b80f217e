# SPDX-License-Identifier: MIT
"""Entry point of ``python3 -m tests.lab``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
