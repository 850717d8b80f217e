# SPDX-License-Identifier: MIT
"""From nothing to an attached probe."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aodasync.errors import LayoutError, NotPermittedError, ProbeError, RequirementError
from aodasync.probes.interface import Candidate, ProbePlan
from aodasync.probes.loader import Loaded, create_maps, load
from aodasync.probes.maps import update
from aodasync.probes.module import cifs_loaded
from aodasync.probes.preparation import FALLBACK, METHODS, Prepared, prepare
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import RING_BYTES, MapNumber, StateIndex

__all__ = ["open_probe"]


async def open_probe(
    *,
    ring_bytes: int = RING_BYTES,
    cache_dir: Path | None = None,
    python: str | None = None,
    methods: Sequence[str] = METHODS,
) -> RequestProbe:
    """Attach to the running kernel's SMB client.

    ``ring_bytes`` is a power of two of whole pages; ``cache_dir`` keeps byte code
    between starts (None: nothing does); ``python`` is an interpreter with bcc, found
    by itself unless given; ``methods`` are the ways to look that may be tried, in
    their order. Nothing is left attached when it raises.

    Raises NotPermittedError without root, RequirementError without the client or
    bcc; LayoutError, CompileError or BpfError, whatever the first method met.
    """
    if os.geteuid() != 0:
        raise NotPermittedError("only root may attach probes", hint="run it with sudo")
    if not cifs_loaded():
        raise RequirementError(
            "the kernel's SMB client is not loaded", hint="mount a share, or modprobe cifs"
        )
    refusals: dict[str, ProbeError] = {}
    for method in methods:
        try:
            opened = await _attach(method, ring_bytes, cache_dir, python)
        except ProbeError as error:
            refusals[method] = error
            continue
        plan = _plan(method, opened, refusals)
        return RequestProbe(opened.loaded, plan, ring_bytes, method)
    first, *others = refusals.items()
    for method, refusal in others:
        first[1].what += f"; {method}: {refusal.what}"
    raise first[1]


@dataclass(frozen=True, slots=True)
class _Opened:
    """Attached programs, and how they came about."""

    loaded: Loaded
    prepared: Prepared
    load_ms: float


async def _attach(
    method: str, ring_bytes: int, cache_dir: Path | None, python: str | None
) -> _Opened:
    """Attach by one method. Raises ProbeError."""
    excluded: list[str] = []
    prepared = await prepare(cache_dir=cache_dir, python=python, method=method)
    loaded, load_ms = await asyncio.to_thread(_load, prepared, ring_bytes)
    while loaded.failed:
        # In BTF, yet not attachable: take the next candidate, if there is one.
        program, error = loaded.failed
        loaded.close()
        if program.function in excluded:
            raise error
        excluded.append(program.function)
        try:
            prepared = await prepare(
                cache_dir=cache_dir, python=python, exclude=excluded, method=method
            )
        except LayoutError:
            raise error from None
        loaded, load_ms = await asyncio.to_thread(_load, prepared, ring_bytes)
    return _Opened(loaded, prepared, load_ms)


def _plan(method: str, opened: _Opened, refusals: Mapping[str, ProbeError]) -> ProbePlan:
    attachments = tuple(opened.loaded.attachments)
    methods = dict.fromkeys(each.method for each in attachments if each.method != "on_demand")
    refused = [Candidate("method", name, chosen=False, why=r.what) for name, r in refusals.items()]
    is_fallback = method == FALLBACK
    return ProbePlan(
        name="+".join(methods) + (" (fallback)" if is_fallback else ""),
        kernel=os.uname().release,
        attachments=attachments,
        notes=opened.prepared.notes,
        steps_ms={**opened.prepared.steps_ms, "load": opened.load_ms},
        tried=(*refused, *opened.prepared.tried),
    )


def _load(prepared: Prepared, ring_bytes: int) -> tuple[Loaded, float]:
    """Load and attach everything; the time it took in ms."""
    start = time.monotonic()
    loaded = load(prepared.programs, create_maps(ring_bytes, prepared.method), prepared.btf_object)
    if not loaded.failed:
        # From now on a MID that is not in the map was allocated before.
        update(
            loaded.maps[MapNumber.STATE],
            struct.pack("I", StateIndex.TRACKED_SINCE_NS),
            struct.pack("Q", time.monotonic_ns()),
        )
    return loaded, round((time.monotonic() - start) * 1e3, 1)
