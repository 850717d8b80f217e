# SPDX-License-Identifier: MIT
"""``aodasync``, but its tasks fail when a file asks for it, and its loop lag is kept.

/run/lab/fail-NAME makes that task raise, once; /run/lab/lag gets every sample, ten a
second, as four-byte floats of milliseconds.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aodasync.cli.main import main
from aodasync.detection.engine import Engine
from aodasync.tasks import heartbeat
from aodasync.tasks.health import LoopLag
from aodasync.tasks.mount_watch import MountWatch
from aodasync.tasks.reader import Reader

RUN = Path("/run/lab")


def failing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which raises once for each time that the file is there."""
    asked = RUN / f"fail-{name}"

    def run(*arguments: Any, **named: Any) -> Any:
        if asked.exists():
            asked.unlink()
            raise RuntimeError(f"{name} fails: the lab asked for it")
        return method(*arguments, **named)

    return run


def keeping(add: Callable[[LoopLag, float], None]) -> Callable[[LoopLag, float], None]:
    """Loop lag samples, written as they come."""
    samples = (RUN / "lag").open("ab", buffering=0)  # some agents are killed

    def keep(self: LoopLag, lag_ms: float) -> None:
        samples.write(struct.pack("f", lag_ms))
        add(self, lag_ms)

    return keep


Engine.decide = failing("detector", Engine.decide)  # type: ignore[method-assign]
Reader._move = failing("reader", Reader._move)  # type: ignore[method-assign]
MountWatch.look = failing("mounts", MountWatch.look)  # type: ignore[method-assign]
heartbeat.BEAT_SEC = heartbeat.SILENT_BEAT_SEC = 0.1
LoopLag.add = keeping(LoopLag.add)  # type: ignore[assignment,method-assign]
sys.exit(main())
