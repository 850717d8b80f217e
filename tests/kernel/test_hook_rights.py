# SPDX-License-Identifier: MIT
"""What a hook may see of the agent that starts it, as root, with every capability."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import structlog

from aodasync.evidence.model import Trigger
from aodasync.process.children import Children
from aodasync.tasks.hooks import Hooks
from aodasync.verdict.judge import Verdict
from tests.builders import config, finding

pytestmark = pytest.mark.anyio

_SCRIPT = """
for look in "readlink /proc/{agent}/fd/{secret}" "head -c1 /proc/{agent}/fd/{secret}" \
    "head -c1 /proc/{agent}/environ" "head -c1 /proc/{agent}/mem" "cat /proc/{agent}/stack" \
    "head -c9 /etc/hostname"; do
    if $look >/dev/null 2>&1; then echo "allowed: $look"; else echo "denied: $look"; fi
done > {out}
"""


async def test_a_hook_cannot_read_what_the_agent_has_open(tmp_path: Path) -> None:
    """Its descriptors, memory and environment are shut to it; a file of root's is not."""
    (tmp_path / "secret").write_text("secret")
    secret, out = os.open(tmp_path / "secret", os.O_RDONLY), tmp_path / "out"
    script = _SCRIPT.format(agent=os.getpid(), secret=secret, out=out)
    hooks = Hooks(config(on_bundle=("sh", "-c", script)), Children(), structlog.get_logger())
    running = asyncio.create_task(hooks.run())
    hooks.bundle_written(
        Trigger("latency", finding(), (), 0, 0, 1), Path("/x"), Verdict("server", "high", "slow")
    )
    async with asyncio.timeout(20):
        while not hooks.metrics.ok:  # noqa: ASYNC110  # a counter, as metrics read it
            await asyncio.sleep(0.01)
    running.cancel()
    os.close(secret)
    lines = out.read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["denied"] * 5 + ["allowed"], lines
