# SPDX-License-Identifier: MIT
"""Reads the configuration again when it is told to, and has the running agent go on by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from aodasync.config import changes_needing_restart
from aodasync.config.model import Config
from aodasync.errors import AodasyncError, ConfigError
from aodasync.host.systemd import notify, notify_reloading
from aodasync.host.threads import in_thread

__all__ = ["Reloader"]


class Reloader:
    """``read`` returns the configuration as it is now, ``apply`` takes it over; None: never.

    A configuration that is refused changes nothing. What is set up once, at the start,
    stays as it is until the next one, and is named in ``config_reloaded``.
    """

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config] | None,
        apply: Callable[[Config], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._read = read
        self._apply = apply
        self._log = log.bind(component="config")
        self._ordered = asyncio.Event()

    def order(self) -> None:
        """Read it soon. Orders that come before it is read are one."""
        self._ordered.set()

    async def run(self) -> None:
        """Serve orders until cancelled."""
        while True:
            await self._ordered.wait()
            self._ordered.clear()
            notify_reloading()
            try:
                await self.reload()
            finally:
                notify("READY=1")

    async def reload(self) -> None:
        """Read the configuration and take it over, or log why not."""
        if self._read is None:
            return
        try:
            found = await in_thread(self._read)
        except ConfigError as error:
            self._log.error(
                "config_refused", file=error.file, errors=[str(each) for each in error.problems]
            )
            return
        except (AodasyncError, OSError, RecursionError) as error:
            self._log.error("config_refused", errors=[str(error)])
            return
        fixed = changes_needing_restart(self._config, found)
        old, new = self._config, found
        self._config = replace(
            new,
            output_dir=old.output_dir,
            captures=old.captures,
            control=old.control,
            recorder=old.recorder,
            collector=replace(
                new.collector,
                tcpdump_mb=old.collector.tcpdump_mb,
                tcpdump_packet_bytes=old.collector.tcpdump_packet_bytes,
            ),
        )
        self._apply(self._config)
        for warning in found.warnings:
            self._log.warning("config_warning", message=str(warning))
        self._log.info(
            "config_reloaded",
            source=str(found.source) if found.source else None,
            needs_restart=list(fixed),
        )
