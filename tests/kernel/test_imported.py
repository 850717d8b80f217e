# SPDX-License-Identifier: MIT
"""Byte code that was exported is loaded by a host without bcc, and records the same."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from aodasync.errors import RequirementError
from aodasync.probes import exchange, requirements
from aodasync.probes.exchange import export_probes, import_probes
from aodasync.probes.preparation import METHODS, prepare, require_bcc
from aodasync.probes.requirements import require_host
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.conftest import RING_BYTES
from tests.kernel.fake_client import FakeClient
from tests.kernel.rig import KPROBE_MACHINE, Rig
from tests.unit.probes.fake_tracefs import write_tracefs
from tests.unit.probes.kernel_types import write_kernel

REQUESTS = 500


def test_a_host_without_bcc_records_what_one_with_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every method; a layout that was not exported still needs the compiler."""
    for name in ("btf", "other", "tracefs"):
        (tmp_path / name).mkdir()
    without_bcc = tmp_path / "python3"
    without_bcc.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')
    without_bcc.chmod(0o755)
    traces = write_tracefs(tmp_path / "tracefs")
    of_host = partial(prepare, machine=KPROBE_MACHINE, traces=traces)
    known = partial(of_host, btf=write_kernel(tmp_path / "btf", "6.12"))
    monkeypatch.setattr(exchange, "prepare", known)
    file, imported = tmp_path / "probe.json", tmp_path / "imported"
    file.write_text(asyncio.run(export_probes(None)))
    file.chmod(0o600)
    import_probes(file, imported)

    with pytest.raises(RequirementError, match="bcc"):
        asyncio.run(require_bcc(str(without_bcc)))
    monkeypatch.setattr(requirements, "IMPORTED", imported)
    asyncio.run(require_host(str(without_bcc)))
    here = partial(known, cache_dir=None, imported=imported, python=str(without_bcc))
    for method in METHODS:
        found = asyncio.run(here(method=method))
        assert (found.byte_code, found.compiler) == ("imported", "")
        assert set(found.steps_ms) <= {"layout", "imported", "symbols"}
        if method != "tracepoint":
            rig = Rig(found, "6.12", RING_BYTES, method)
            assert _recorded(rig) == REQUESTS
            rig.close()
    other = write_kernel(tmp_path / "other", "7.2")
    with pytest.raises(RequirementError, match="bcc") as refused:
        asyncio.run(here(btf=other))
    assert "probe import" in refused.value.hint


def _recorded(rig: Rig) -> int:
    """How many of so many requests are read from the ring."""
    client = FakeClient(rig)
    server = client.server(0, 12, "files.example", "10.9.9.1")
    for _ in range(REQUESTS):
        mid = client.alloc(0, server, COMMAND_CODES["SMB2_CREATE"])
        client.send(mid, 0)
        client.receive(mid, 0)
        client.take_response(mid)
        client.delete(mid)
        client.release(mid)
    return len(rig.probe.read(2 * REQUESTS))
