# SPDX-License-Identifier: MIT
"""``aodasync``, but its detector dies at the fifth batch: for what supervision does then."""

from __future__ import annotations

import sys

from aodasync.cli.main import main
from aodasync.events import EventBatch
from aodasync.tasks.detector import DetectorTask

_process = DetectorTask.process


def _die_once(self: DetectorTask, batch: EventBatch) -> None:
    if self.metrics.batches == 4:
        self.metrics.batches += 1
        raise RuntimeError("killed by the lab")
    _process(self, batch)


DetectorTask.process = _die_once  # type: ignore[method-assign]
sys.exit(main())
