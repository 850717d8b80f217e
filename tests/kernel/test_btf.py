# SPDX-License-Identifier: MIT
"""The BTF reader against libbpf, on all of the running kernel's types; the lab: on split BTF."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from libbpf import Comparison, Libbpf, compare_members, compare_parameters, compare_types

from aodasync.probes.compiler.btf import Btf, Kind

BTF = Path("/sys/kernel/btf")
FEWEST = 5_000


@pytest.fixture(scope="module")
def oracle() -> Libbpf:
    """Libbpf's view of vmlinux."""
    return Libbpf(BTF / "vmlinux")


@pytest.fixture(scope="module")
def ours() -> Btf:
    """Our view."""
    begun = time.perf_counter()
    btf = Btf((BTF / "vmlinux").read_bytes())
    print(f"{btf.end_id} types read in {1e3 * (time.perf_counter() - begun):.0f} ms")
    return btf


def _agree(result: Comparison) -> None:
    print(f"{result.compared} compared")
    assert not result.differing[:3]
    assert result.compared > FEWEST


def test_all_types_agree(oracle: Libbpf, ours: Btf) -> None:
    """Name, kind, number of entries, size or target of every type."""
    assert ours.end_id == oracle.end_id
    _agree(compare_types(ours, oracle, range(1, ours.end_id)))


def test_members_agree(oracle: Libbpf, ours: Btf) -> None:
    """Name, bit offset, bits and type of the members of every fifth struct and union."""
    _agree(compare_members(ours, oracle, range(5, ours.end_id, 5)))


def test_parameters_agree(oracle: Libbpf, ours: Btf) -> None:
    """Names and types of the parameters of every tenth function."""
    _agree(compare_parameters(ours, oracle, range(10, ours.end_id, 10)))


def test_names_are_found(ours: Btf) -> None:
    """By name and kind, with the offset that all the world knows."""
    (task,) = ours.find("task_struct", Kind.STRUCT)
    assert ours.member(task, "comm") is not None
    (function,) = ours.find("vfs_read", Kind.FUNC)
    parameters = ours.parameters(ours.type(function.size_or_type))
    assert ours.points_to(parameters[0].type_id, "file")
