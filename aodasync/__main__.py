# SPDX-License-Identifier: MIT
"""``python -m aodasync`` is the console script."""

from aodasync.cli import main

raise SystemExit(main())
