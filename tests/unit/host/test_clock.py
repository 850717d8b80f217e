# SPDX-License-Identifier: MIT
"""The clocks."""

from __future__ import annotations

import subprocess
import sys

from aodasync.host.clock import process_age_ms


def test_a_process_knows_its_age() -> None:
    """To one tick, from its start on, whatever its name."""
    program = "import time; from aodasync.host.clock import process_age_ms;"
    program += "before = process_age_ms(); time.sleep(0.2); print(before, process_age_ms())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0 < before < after < process_age_ms()
    assert after - before >= 200
