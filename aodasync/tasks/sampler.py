# SPDX-License-Identifier: MIT
"""Samples the surroundings once a second, so that a trigger finds what was normal before it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from aodasync.surroundings import Surroundings
from aodasync.worker import in_thread

__all__ = ["sample_surroundings"]

EVERY_SEC: Final = 1.0


async def sample_surroundings(surroundings: Surroundings) -> None:
    """Sample until cancelled; nothing is asked of the kernel while no connection is known."""
    while True:
        peers = surroundings.peers()
        if peers:
            surroundings.keep(await in_thread(partial(surroundings.take, peers)))
        await asyncio.sleep(EVERY_SEC)
