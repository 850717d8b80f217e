# SPDX-License-Identifier: MIT
"""``aodasync run``: from the arguments to an agent that runs until it is told to end."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aodasync.errors import AodasyncError, ExitCode, NotPermittedError, first_of_ours

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from aodasync.config.model import Config

__all__ = ["load", "load_output_dir", "require_root", "run"]

_LAST_WORDS_SEC: Final = 2.0


def load(arguments: argparse.Namespace, *, output_dir: Path | None = None) -> Config:
    """The configuration that the arguments name, with the output directory that they name."""
    from aodasync import config as configuration

    config = configuration.load(arguments.config)
    output_dir = arguments.output_dir or output_dir
    if output_dir is None:
        return config
    return dataclasses.replace(config, output_dir=output_dir.absolute())


def load_output_dir(arguments: argparse.Namespace) -> Path:
    """Where bundles are. Of the configuration nothing else is looked at."""
    if arguments.output_dir is not None:
        return Path(arguments.output_dir)
    from aodasync import config as configuration

    return configuration.load_output_dir(arguments.config)


def require_root() -> None:
    """Raise NotPermittedError unless the caller is root."""
    if os.geteuid() != 0:
        raise NotPermittedError("the agent must run as root", hint="sudo aodasync")


def run(arguments: argparse.Namespace) -> int:
    """Run the agent; its exit code."""
    require_root()
    from aodasync.host.signals import survive

    survive()
    from aodasync.host.capabilities import give_up
    from aodasync.host.memory_tuning import stay_small, without

    stay_small()
    give_up()
    from aodasync.probes import compiler_child

    compiler_child.give_head_start()

    with without("rich"):
        from aodasync.host.logs import configure, flush

    os.umask(0o077)
    log = configure(level=arguments.log_level, fmt=arguments.log_format)
    if sys.stdout.isatty():
        print("aodasync: the agent runs here; Ctrl-C ends it; see aodasync top in another terminal")
    try:
        _run_agent(arguments, log)
    except Exception as error:
        log.critical("agent_failed", **_as_event(first_of_ours(error)))
        raise
    finally:
        flush(_LAST_WORDS_SEC)
    return ExitCode.OK


def _as_event(error: BaseException) -> dict[str, object]:
    if isinstance(error, AodasyncError):
        return {"error": error.what, "hint": error.hint, "exit_code": int(error.exit_code)}
    text = f"{type(error).__name__}: {error}"
    return {"error": text, "hint": "this is a defect: report it", "exit_code": 1}


def _run_agent(arguments: argparse.Namespace, log: FilteringBoundLogger) -> None:
    config = load(arguments)
    import asyncio

    from aodasync.agent import Agent
    from aodasync.bundle.output_dir import OutputDirectory
    from aodasync.host.instance_lock import RUN_DIR, single_instance
    from aodasync.host.memory_tuning import imported

    imported()
    for warning in config.warnings:
        log.warning("config_warning", message=str(warning))

    async def until_told() -> None:
        read_config = partial(load, arguments)
        agent = Agent(config, output=output, run_dir=RUN_DIR, log=log, read_config=read_config)
        await agent.run()

    with single_instance(), OutputDirectory.prepare(config.output_dir, local=True) as output:
        if output.salvaged or output.removed:
            log.info("leftovers_found", salvaged=output.salvaged, removed=output.removed)
        asyncio.run(until_told())
