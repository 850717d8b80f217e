# SPDX-License-Identifier: MIT
"""Opening a probe: what is asked for first, what is tried again, what is left behind."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aodasync.errors import BpfError, LayoutError, NotPermittedError, ProbeError, RequirementError
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.probes import bpf, opening, program_loader
from aodasync.probes.client_lists import ClientLists
from aodasync.probes.interface import Candidate, ProbePlan
from aodasync.probes.opening import open_probe
from aodasync.probes.preparation import Prepared
from aodasync.probes.program_loader import Loaded, Program, load
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import MapNumber

pytestmark = pytest.mark.anyio

ALLOC = Program("alloc", "request_alloc", b"", "fexit", "smb2_mid_entry_alloc", 1)
RECEIVED = Program("received", "request_received", b"", "fentry", "dequeue_mid", 2)
RELEASE = Program("release", "request_release", b"", "fentry", "__release_mid", 3)
PUT = Program("release", "request_put", b"", "fentry", "release_mid", 4)
TROUBLE = Program("trouble", "smb3_reconnect", b"", "raw_tracepoint", "smb3_reconnect")


class FakeKernel:
    """Loads everything but what it is told to refuse; descriptors are real, to /dev/null."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses: set[str] = set()
        self.attached: list[str] = []
        self.open: set[int] = set()
        monkeypatch.setattr(bpf, "btf_object", lambda _: self._fd())
        monkeypatch.setattr(bpf, "load_program", self._load)
        monkeypatch.setattr(bpf, "attach", self._attach)

    def maps(self) -> dict[MapNumber, int]:
        return {number: self._fd() for number in MapNumber}

    def leaked(self) -> list[int]:
        """Descriptors that nobody closed."""
        return [fd for fd in self.open if Path(f"/proc/self/fd/{fd}").exists()]

    def _fd(self) -> int:
        fd = os.open("/dev/null", os.O_RDONLY)
        self.open.add(fd)
        return fd

    def _load(self, _kind: Any, _code: bytes, name: str, **_: Any) -> int:
        if name in self.refuses:
            raise BpfError(f"the kernel refused {name}", 13)
        return self._fd()

    def _attach(self, _program: int, what: str, _tracepoint: str = "") -> int:
        if what in self.refuses:
            raise BpfError(f"cannot attach to {what}", 524)
        self.attached.append(what)
        return self._fd()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A kernel that can be told to refuse."""
    return FakeKernel(monkeypatch)


def test_programs_are_attached_in_order(kernel: FakeKernel) -> None:
    """And everything is closed in the end, once."""
    loaded = load([RELEASE, RECEIVED, ALLOC, TROUBLE], kernel.maps(), "cifs")
    assert kernel.attached == [
        "__release_mid",
        "dequeue_mid",
        "smb2_mid_entry_alloc",
        "smb3_reconnect",
    ]
    assert [(a.role, a.method, a.error) for a in loaded.attachments] == [
        ("release", "fentry", ""),
        ("received", "fentry", ""),
        ("alloc", "fexit", ""),
        ("trouble", "raw_tracepoint", ""),
    ]
    assert loaded.failed is None
    loaded.close()
    loaded.close()
    assert kernel.leaked() == []


@pytest.mark.parametrize("refused", ["request_received", "dequeue_mid", "smb3_reconnect"])
def test_an_optional_program_fails_alone(kernel: FakeKernel, refused: str) -> None:
    """Refused at load or at attach: the others go on, and the plan says why."""
    kernel.refuses.add(refused)
    loaded = load([RELEASE, RECEIVED, ALLOC, TROUBLE], kernel.maps(), "cifs")
    assert loaded.failed is None
    assert len(kernel.attached) == 3
    assert next(a for a in loaded.attachments if a.error).error.endswith(refused)
    loaded.close()
    assert kernel.leaked() == []


@pytest.mark.parametrize("refused", ["request_alloc", "__release_mid"])
def test_an_essential_program_that_fails_is_told(kernel: FakeKernel, refused: str) -> None:
    """Nothing is attached after it."""
    kernel.refuses.add(refused)
    loaded = load([RELEASE, RECEIVED, ALLOC, TROUBLE], kernel.maps(), "cifs")
    assert loaded.failed is not None
    assert refused in str(loaded.failed[1])
    assert "smb3_reconnect" not in kernel.attached
    loaded.close()
    assert kernel.leaked() == []


def test_without_the_objects_btf_nothing_is_left_open(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maps are closed too."""

    def missing(_: str) -> int:
        raise BpfError("the kernel has no BTF of cifs", 2)

    monkeypatch.setattr(bpf, "btf_object", missing)
    with pytest.raises(BpfError, match="no BTF"):
        load([RELEASE], kernel.maps(), "cifs")
    assert kernel.leaked() == []


class FakeProbe(RequestProbe):
    """Keeps what it is made of, maps no ring."""

    def __init__(
        self,
        loaded: Loaded,
        plan: ProbePlan,
        ring_bytes: int,
        method: str = "fentry",
        *,
        lists: ClientLists | None = None,
        files: FileBook,
    ) -> None:
        assert lists is None  # no program of this kernel walks them
        self.method, self.book = method, files
        self._loaded, self._plan, self.ring_bytes = loaded, plan, ring_bytes

    def close(self) -> None:
        self._loaded.close()


class FakeHost:
    """Everything around the loader: privilege, module, child, maps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel) -> None:
        self.asked: list[list[str]] = []
        self.methods: list[str] = []
        self.refuses: set[str] = set()
        self.refuses_files = False
        self.loaded: list[Loaded] = []
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr(opening, "cifs_loaded", lambda: True)
        monkeypatch.setattr(opening, "prepare", self._prepare)
        monkeypatch.setattr(opening, "create_maps", lambda *_: kernel.maps())
        monkeypatch.setattr(opening, "update", lambda *_: None)
        monkeypatch.setattr(opening, "RequestProbe", FakeProbe)

    async def _prepare(
        self, *, method: str, file_names: bool, exclude: Collection[str] = (), **_: Any
    ) -> Prepared:
        self.asked.append(list(exclude))
        self.methods.append(method)
        if method in self.refuses:
            raise LayoutError(f"no {method} here")
        left = [p for p in (RELEASE, PUT) if p.function not in exclude]
        if not left or ALLOC.function in exclude:
            raise LayoutError("nothing left to try")
        alloc = replace(ALLOC, function="refused") if self.refuses_files and file_names else ALLOC
        return Prepared("cifs", (left[0], RECEIVED, alloc), ("a note",), {"layout": 1.0})


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel) -> FakeHost:
    """A host on which a probe can be opened."""
    return FakeHost(monkeypatch, kernel)


@pytest.mark.usefixtures("host")
async def test_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything else is tried."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NotPermittedError, match="root"):
        await open_probe()


@pytest.mark.usefixtures("host")
async def test_the_client_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to fix it."""
    monkeypatch.setattr(opening, "cifs_loaded", lambda: False)
    with pytest.raises(RequirementError, match="modprobe cifs"):
        await open_probe()


async def test_the_plan_tells_methods_notes_and_times(host: FakeHost) -> None:
    """What was chosen and how long each step took."""
    probe = await open_probe()
    assert probe.plan.name == "fentry+fexit"
    assert probe.plan.kernel == os.uname().release
    assert probe.plan.notes == ("a note",)
    assert set(probe.plan.steps_ms) == {"layout", "load", "adopt"}
    assert host.asked == [[]]
    probe.close()


@pytest.mark.usefixtures("host")
async def test_files_are_kept_unless_told_otherwise() -> None:
    """Without them there is no book, and no memory for one."""
    with_files, without = await open_probe(), await open_probe(file_names=False)
    assert isinstance(with_files, FakeProbe)
    assert isinstance(without, FakeProbe)
    assert with_files.book is not NO_FILES
    assert without.book is NO_FILES
    with_files.close()
    without.close()


async def test_where_files_are_refused_all_else_goes_on(host: FakeHost, kernel: FakeKernel) -> None:
    """The same way to look is taken without them, and the plan says so."""
    kernel.refuses.add("refused")
    host.refuses_files = True
    probe = await open_probe()
    assert isinstance(probe, FakeProbe)
    assert set(host.methods) == {"fentry"}
    assert probe.book is NO_FILES
    assert probe.plan.notes[0] == "a note"
    assert probe.plan.notes[1].startswith("files of requests are not recorded: ")
    probe.close()
    assert kernel.leaked() == []


async def test_a_function_that_cannot_be_attached_gives_way(
    host: FakeHost, kernel: FakeKernel
) -> None:
    """The next candidate is taken; what the first try attached is gone."""
    kernel.refuses.add("__release_mid")
    probe = await open_probe()
    assert host.asked == [[], ["__release_mid"]]
    assert probe.plan.attachments[0].target == "release_mid"
    probe.close()
    assert kernel.leaked() == []


async def test_without_another_candidate_the_first_error_is_told(
    host: FakeHost, kernel: FakeKernel
) -> None:
    """Not that of the try that had nothing left, and nothing stays open."""
    kernel.refuses.add("smb2_mid_entry_alloc")
    with pytest.raises(ProbeError, match="smb2_mid_entry_alloc") as caught:
        await open_probe()
    assert isinstance(caught.value.__cause__, BpfError)
    assert caught.value.__cause__.errno == 524
    assert host.asked == [[], ["smb2_mid_entry_alloc"]] * 6  # three ways, with files and without
    assert kernel.leaked() == []
    assert {"alloc", "entered", "release", "freed"} == program_loader.ESSENTIAL


async def test_the_next_way_to_look_is_tried(host: FakeHost) -> None:
    """And the plan tells what was wrong with the better ones."""
    host.refuses = {"fentry"}
    probe = await open_probe()
    assert isinstance(probe, FakeProbe)
    assert host.methods == ["fentry", "kprobe"]
    assert probe.method == "kprobe"
    assert probe.plan.tried[0] == Candidate("method", "fentry", chosen=False, why="no fentry here")
    probe.close()


async def test_the_last_way_is_marked(host: FakeHost) -> None:
    """Nobody shall take it for the whole truth."""
    host.refuses = {"fentry", "kprobe"}
    probe = await open_probe()
    assert probe.plan.name.endswith(" (fallback)")
    probe.close()


async def test_only_the_wanted_ways_are_tried(host: FakeHost) -> None:
    """In the order given."""
    probe = await open_probe(methods=("kprobe",))
    assert host.methods == ["kprobe"]
    probe.close()


async def test_when_no_way_works_each_reason_is_told(host: FakeHost) -> None:
    """The first one's error, and what became of the others."""
    host.refuses = {"fentry", "kprobe", "tracepoint"}
    with pytest.raises(LayoutError, match=r"no fentry here; kprobe: no kprobe .*; tracepoint: no"):
        await open_probe()
