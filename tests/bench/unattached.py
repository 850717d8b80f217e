# SPDX-License-Identifier: MIT
"""Opening a probe, but for the attachment, which needs a client.

The byte code is made by the product's own child and loaded as raw tracepoint
programs, which need nothing to attach to. With ``--map`` they use maps that were
inherited, so that whoever started this can put requests into them.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import time
from pathlib import Path

from aodasync.evidence.file_book import MAX_REQUESTS, NO_FILES, FileBook
from aodasync.host.capabilities import Capability, raised
from aodasync.probes.bpf import ProgramType, load_program
from aodasync.probes.interface import Attachment, ProbePlan
from aodasync.probes.preparation import Prepared, prepare
from aodasync.probes.program_loader import Loaded, create_maps, patched
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import MapNumber

__all__ = ["open_unattached"]

_LAG_EVERY_SEC = 0.02


def _load(prepared: Prepared, maps: dict[MapNumber, int]) -> Loaded:
    loaded = Loaded(maps)
    for program in prepared.programs:
        with raised(Capability.SYS_ADMIN):
            fd = load_program(ProgramType.RAW_TRACEPOINT, patched(program.code, maps), program.name)
        loaded.programs.append((program.role, fd))
        loaded.attachments.append(Attachment(program.role, "none", program.function))
    return loaded


async def open_unattached(
    arguments: argparse.Namespace,
    *,
    ring_bytes: int,
    cache_dir: Path | None = None,
    python: str | None = None,
    file_names: bool = True,
    recorded: int = MAX_REQUESTS,
) -> RequestProbe:
    """What :func:`aodasync.probes.open_probe` does, the attachment left out."""
    prepared = await prepare(
        cache_dir=cache_dir, python=python, file_names=file_names, btf=arguments.types
    )
    begun_sec = time.monotonic()
    inherited = dict(pair.split("=") for pair in arguments.map)
    maps = {MapNumber[name]: int(descriptor) for name, descriptor in inherited.items()}
    if not maps:
        maps = await asyncio.to_thread(create_maps, ring_bytes)
    loaded = await asyncio.to_thread(_load, prepared, maps)
    load_ms = (time.monotonic() - begun_sec) * 1e3
    if arguments.lag:
        _Lag(arguments.lag).start()
    plan = ProbePlan(
        name="unattached",
        kernel=os.uname().release,
        attachments=tuple(loaded.attachments),
        notes=prepared.notes,
        steps_ms={**prepared.steps_ms, "load": load_ms},
    )
    files = FileBook(min(recorded, MAX_REQUESTS)) if file_names else NO_FILES
    return RequestProbe(loaded, plan, ring_bytes, files=files)


class _Lag:
    """Samples of how late the loop is, as [CLOCK_MONOTONIC, ms] pairs in a file at exit."""

    def __init__(self, file: Path) -> None:
        self._samples: list[tuple[int, float]] = []
        self._due_sec = 0.0
        atexit.register(lambda: file.write_text(json.dumps(self._samples)))

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_sec = loop.time() + _LAG_EVERY_SEC
        loop.call_at(self._due_sec, self._sample)

    def _sample(self) -> None:
        lag_ms = (asyncio.get_running_loop().time() - self._due_sec) * 1e3
        self._samples.append((time.monotonic_ns(), lag_ms))
        self.start()
