# SPDX-License-Identifier: MIT
"""From nothing to an attached probe."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from aodasync.errors import (
    BpfError,
    CompileError,
    NotPermittedError,
    ProbeError,
    RequirementError,
)
from aodasync.evidence.file_book import MAX_REQUESTS, NO_FILES, FileBook
from aodasync.host.capabilities import Capability, raised
from aodasync.host.threads import in_thread
from aodasync.probes.cifs_module import cifs_loaded
from aodasync.probes.client_lists import ClientLists, Walker
from aodasync.probes.interface import Candidate, ProbePlan
from aodasync.probes.maps import update
from aodasync.probes.preparation import FALLBACK, METHODS, Prepared, prepare
from aodasync.probes.program_loader import Loaded, create_maps, load
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import RING_BYTES, MapNumber, StateIndex

__all__ = ["open_probe"]

_Ask: TypeAlias = Callable[..., Awaitable[Prepared]]


async def open_probe(
    *,
    ring_bytes: int = RING_BYTES,
    cache_dir: Path | None = None,
    python: str | None = None,
    methods: Sequence[str] = METHODS,
    file_names: bool = True,
    recorded: int = MAX_REQUESTS,
) -> RequestProbe:
    """Attach to the running kernel's SMB client.

    ``ring_bytes`` is a power of two of whole pages; ``cache_dir`` keeps byte code
    between starts (None: nothing does); ``python`` is an interpreter with bcc, found
    by itself unless given; ``methods`` are the ways to look that may be tried, in
    their order. ``file_names``: record the files of requests, of the last ``recorded`` ones
    at the most. Nothing is left attached when it raises.

    Raises NotPermittedError without root, RequirementError without the client or
    bcc; ProbeError (LayoutError, CompileError), whatever the first method met.
    """
    if os.geteuid() != 0:
        raise NotPermittedError("only root may attach probes", hint="run it with sudo")
    if not cifs_loaded():
        raise RequirementError(
            "the kernel's SMB client is not loaded", hint="mount a share, or modprobe cifs"
        )
    refusals: dict[str, ProbeError | BpfError] = {}
    for method in methods:
        ask = partial(prepare, cache_dir=cache_dir, python=python, method=method)
        try:
            opened = await _attach_with_files(ring_bytes, ask, file_names=file_names)
        except (ProbeError, BpfError) as error:
            refusals[method] = error
            continue
        plan = _plan(method, opened, refusals)
        try:
            kept = min(recorded, MAX_REQUESTS)
            files = FileBook(kept) if opened.file_names else NO_FILES
            return RequestProbe(
                opened.loaded, plan, ring_bytes, method, lists=opened.lists, files=files
            )
        except BaseException:
            opened.loaded.close()
            raise
    raise _fatal(refusals)


def _fatal(refusals: Mapping[str, ProbeError | BpfError]) -> ProbeError:
    """The first method's refusal, with what the others met."""
    (_, first), *others = refusals.items()
    what = "; ".join([first.what, *(f"{method}: {each.what}" for method, each in others)])
    kind = type(first) if isinstance(first, ProbeError) else ProbeError
    fatal = kind(what, hint=first.hint)
    fatal.__cause__ = first
    return fatal


@dataclass(frozen=True, slots=True)
class _Opened:
    """Attached programs, and how they came about."""

    loaded: Loaded
    prepared: Prepared
    load_ms: float
    adopt_ms: float
    lists: ClientLists | None
    file_names: bool = True


async def _attach_with_files(ring_bytes: int, ask: _Ask, *, file_names: bool) -> _Opened:
    """Attach by one method; without files if the kernel refuses them. Raises as :func:`_attach`."""
    refused = ""
    if file_names:
        try:
            return await _attach(ring_bytes, partial(ask, file_names=True))
        except BpfError as error:
            refused = str(error)
    opened = await _attach(ring_bytes, partial(ask, file_names=False))
    note = (f"files of requests are not recorded: {refused}",) if refused else ()
    prepared = replace(opened.prepared, notes=(*opened.prepared.notes, *note))
    return replace(opened, prepared=prepared, file_names=False)


async def _attach(ring_bytes: int, ask: _Ask) -> _Opened:
    """Attach by one method. Raises ProbeError or BpfError."""
    excluded: list[str] = []
    prepared = await ask()
    loaded, load_ms = await in_thread(partial(_load, prepared, ring_bytes))
    while loaded.failed:
        # In BTF, yet not attachable: take the next candidate, if there is one.
        program, error = loaded.failed
        loaded.close()
        if program.function in excluded:
            raise error
        excluded.append(program.function)
        try:
            prepared = await ask(exclude=excluded)
        except CompileError:
            raise
        except RequirementError:  # no other candidate, or none whose byte code is at hand
            raise error from None
        loaded, load_ms = await in_thread(partial(_load, prepared, ring_bytes))
    begun_sec = time.monotonic()
    lists = await in_thread(partial(_take_in, prepared, loaded))
    adopt_ms = round((time.monotonic() - begun_sec) * 1e3, 1)
    return _Opened(loaded, prepared, load_ms, adopt_ms, lists)


def _plan(method: str, opened: _Opened, refusals: Mapping[str, ProbeError | BpfError]) -> ProbePlan:
    attachments = tuple(opened.loaded.attachments)
    methods = dict.fromkeys(each.method for each in attachments if each.method != "on_demand")
    refused = [Candidate("method", name, chosen=False, why=r.what) for name, r in refusals.items()]
    is_fallback = method == FALLBACK
    return ProbePlan(
        name="+".join(methods) + (" (fallback)" if is_fallback else ""),
        kernel=os.uname().release,
        attachments=attachments,
        notes=opened.prepared.notes,
        steps_ms={
            **opened.prepared.steps_ms,
            "load": opened.load_ms,
            "adopt": opened.adopt_ms,
        },
        tried=(*refused, *opened.prepared.tried),
        byte_code=opened.prepared.byte_code,
    )


def _load(prepared: Prepared, ring_bytes: int) -> tuple[Loaded, float]:
    """Load and attach everything; the time it took in ms."""
    start = time.monotonic()
    with raised(Capability.SYS_ADMIN):
        maps = create_maps(ring_bytes, prepared.method)
        loaded = load(prepared.programs, maps, prepared.btf_object)
    if not loaded.failed:
        # From now on a MID that is not in the map was allocated before.
        update(
            loaded.maps[MapNumber.STATE],
            struct.pack("I", StateIndex.TRACKED_SINCE_NS),
            struct.pack("Q", time.monotonic_ns()),
        )
    return loaded, round((time.monotonic() - start) * 1e3, 1)


def _take_in(prepared: Prepared, loaded: Loaded) -> ClientLists | None:
    """The client's lists, once what is on its way is taken in; None where they are unknown."""
    word, connection, adopt = map(loaded.on_demand, ("word", "connection", "adopt"))
    if prepared.lists is None or word is None or connection is None or adopt is None:
        return None
    lists = ClientLists(prepared.lists, Walker(word, connection, adopt))
    try:
        lists.take_in()
    except BpfError:
        lists.cut += 1
    return lists
