# SPDX-License-Identifier: MIT
"""From nothing to an attached probe."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

from aodasync.errors import LayoutError, NotPermittedError, RequirementError
from aodasync.probes.interface import ProbePlan
from aodasync.probes.loader import Loaded, create_maps, load
from aodasync.probes.maps import update
from aodasync.probes.module import cifs_loaded
from aodasync.probes.preparation import Prepared, prepare
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import RING_BYTES, MapNumber, StateIndex

__all__ = ["open_probe"]


async def open_probe(
    *, ring_bytes: int = RING_BYTES, cache_dir: Path | None = None, python: str | None = None
) -> RequestProbe:
    """Attach to the running kernel's SMB client.

    ``ring_bytes`` is a power of two of whole pages; ``cache_dir`` keeps byte code
    between starts (None: nothing does); ``python`` is an interpreter with bcc, found
    by itself unless given. Nothing is left attached when it raises.

    Raises NotPermittedError without root, RequirementError without the client or
    bcc, LayoutError, CompileError or BpfError.
    """
    if os.geteuid() != 0:
        raise NotPermittedError("only root may attach probes", hint="run it with sudo")
    if not cifs_loaded():
        raise RequirementError(
            "the kernel's SMB client is not loaded", hint="mount a share, or modprobe cifs"
        )
    excluded: list[str] = []
    prepared = await prepare(cache_dir=cache_dir, python=python)
    loaded, load_ms = await asyncio.to_thread(_load, prepared, ring_bytes)
    while loaded.failed:
        # In BTF, yet not attachable: take the next candidate, if there is one.
        program, error = loaded.failed
        loaded.close()
        excluded.append(program.function)
        try:
            prepared = await prepare(cache_dir=cache_dir, python=python, exclude=excluded)
        except LayoutError:
            raise error from None
        loaded, load_ms = await asyncio.to_thread(_load, prepared, ring_bytes)
    plan = ProbePlan(
        name="+".join(dict.fromkeys(each.method for each in loaded.attachments)),
        kernel=os.uname().release,
        attachments=tuple(loaded.attachments),
        notes=prepared.notes,
        steps_ms={**prepared.steps_ms, "load": load_ms},
        tried=prepared.tried,
    )
    return RequestProbe(loaded, plan, ring_bytes)


def _load(prepared: Prepared, ring_bytes: int) -> tuple[Loaded, float]:
    """Load and attach everything; the time it took in ms."""
    start = time.monotonic()
    loaded = load(prepared.programs, create_maps(ring_bytes), prepared.btf_object)
    if not loaded.failed:
        # From now on a MID that is not in the map was allocated before.
        update(
            loaded.maps[MapNumber.STATE],
            struct.pack("I", StateIndex.TRACKED_SINCE_NS),
            struct.pack("Q", time.monotonic_ns()),
        )
    return loaded, round((time.monotonic() - start) * 1e3, 1)
