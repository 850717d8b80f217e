# SPDX-License-Identifier: MIT
"""A whole agent that waits for the client; :data:`PROGRAM` sets it up as ``aodasync run`` does.

Only its directories and its configuration are below DIRECTORY, where DIRECTORY/cifs stands for
/sys/module/cifs, and what would be attached is a log line, ``opening``.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from aodasync import agent, probes
from aodasync.actions import UserAction
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config import files, load
from aodasync.config.model import Config
from aodasync.host.logs import configure
from aodasync.host.signals import survive
from tests.builders import config, latency_anomaly

PROGRAM: Final = (
    "from aodasync.host.memory_tuning import stay_small; stay_small();"
    " from tests.kernel import waiting_agent; waiting_agent.main()"
)
"""For ``python -c``, with the arguments DIRECTORY and POLL_SEC."""


def main() -> None:
    """Run until SIGTERM."""
    directory, poll_sec = Path(sys.argv[1]), float(sys.argv[2])
    survive()
    log = configure(level="debug", fmt="json")

    async def opening(**_: Any) -> None:
        log.info("opening")
        await asyncio.Event().wait()

    client = directory / "cifs"
    vars(agent).update(STATE_DIR=directory / "state", CACHE_DIR=directory / "cache")
    vars(files).update(SYSTEM_PATH=directory / "config.yaml", DROP_INS=directory / "conf.d")
    vars(probes).update(
        cifs_loaded=partial(probes.cifs_loaded, client),
        wait_for_cifs=partial(probes.wait_for_cifs, client, poll_sec),
        open_probe=opening,
    )

    def read() -> Config:
        as_in_etc = (directory / "conf.d").is_dir()
        return load(None if as_in_etc else directory / "config.yaml")

    async def run(output: OutputDirectory) -> None:
        await agent.Agent(
            settings,
            output=output,
            run_dir=directory,
            log=log,
            read_config=read,
        ).run()

    settings = config(latency_anomaly(), output_dir=directory)
    if (directory / "hang").exists():
        hangs = UserAction("hangs", ("sleep", "600"), 600.0)
        settings = replace(settings, user_actions=(hangs,), watcher_actions=("hangs",))
    with OutputDirectory.prepare(directory / "aod") as output:
        asyncio.run(run(output))
