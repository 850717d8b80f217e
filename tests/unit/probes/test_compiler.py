# SPDX-License-Identifier: MIT
"""What the child does around bcc: layout, cache, notes. bcc itself is stood in for."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aodasync.probes.compiler import ahead as ahead_module
from aodasync.probes.compiler import request
from aodasync.probes.compiler.ahead import read_ahead
from aodasync.probes.compiler.btf import BtfError
from aodasync.probes.compiler.cache import Cache, CacheUnusableError, cache_key
from aodasync.probes.compiler.compile import MissingBccError
from aodasync.probes.preparation import bpf_sources
from tests.unit.probes.fake_tracefs import write_tracefs
from tests.unit.probes.kernel_types import write_kernel


class FakeCompiler:
    """Counts compilations, and keeps what the last one was given."""

    def __init__(self) -> None:
        self.runs = 0
        self.definitions: Mapping[str, int] = {}

    def __call__(
        self, text: str, include: Path, definitions: Mapping[str, int], programs: Iterable[str]
    ) -> dict[str, bytes]:
        assert "request_alloc" in text
        assert (include / "smb_event.h").is_file()
        self.runs += 1
        self.definitions = definitions
        return {name: name.encode() for name in programs}


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> FakeCompiler:
    """Stands in for bcc."""
    fake = FakeCompiler()
    monkeypatch.setattr(request, "compile_programs", fake)
    monkeypatch.setattr(request, "bcc_version", lambda: "0.99")
    return fake


@pytest.fixture
def request_(tmp_path: Path) -> dict[str, Any]:
    """A request as the agent makes it."""
    (tmp_path / "btf").mkdir()
    symbols = tmp_path / "kallsyms"
    symbols.write_text(
        "ffffffff81000000 T _text\n"
        "ffffffffc031fab0 t cifs_tcp_ses_list_of_another\t[cifs]\n"
        "ffffffffc04267e0 b cifs_tcp_ses_list\t[cifs]\n"
    )
    return {
        "sources": str(bpf_sources()),
        "source": "smb_requests.bpf.c",
        "definitions": {"EVENT_BYTES": 96},
        "exclude": [],
        "method": "fentry",
        "machine": "x86_64",
        "tracefs": str(tmp_path / "tracefs"),
        "cache": str(tmp_path / "cache"),
        "imported": str(tmp_path / "imported"),
        "symbols": str(symbols),
        "preemption": str(tmp_path / "nothing"),
        "btf": str(write_kernel(tmp_path / "btf", "6.12")),
    }


def test_the_second_answer_comes_from_the_cache(
    compiler: FakeCompiler, request_: dict[str, Any]
) -> None:
    """Compilation happens once; the functions' ids are read anew at every start."""
    first = request.answer(request_)
    second = request.answer(request_)
    assert compiler.runs == 1
    assert first["programs"] == second["programs"]
    assert first["targets"] == second["targets"]
    assert set(first["steps_ms"]) == {"layout", "compile", "symbols"}
    assert set(second["steps_ms"]) == {"layout", "cache", "symbols"}
    assert (first["byte_code"], second["byte_code"]) == ("compiled", "cache")
    assert first["object"] == "cifs"
    assert first["notes"][0].startswith("smb3_credit_timeout")
    assert [c["target"] for c in first["tried"] if c["role"] == "alloc"] == ["smb2_mid_entry_alloc"]
    programs = [target["program"] for target in first["targets"]]
    assert {base64.b64decode(first["programs"][name]) for name in programs} == {
        name.encode() for name in programs
    }


def test_the_compiler_gets_the_numbers_of_agent_layout_and_host(
    compiler: FakeCompiler, request_: dict[str, Any]
) -> None:
    """All three sources of numbers arrive; one tick is between 1/1000 and 1/100 s."""
    request.answer(request_)
    assert compiler.definitions["EVENT_BYTES"] == 96
    assert compiler.definitions["MID_resp_buf"] == 120
    assert compiler.definitions["PAGE_SIZE"] == os.sysconf("SC_PAGE_SIZE")
    assert 1_000_000 <= compiler.definitions["TICK_NS"] <= 10_000_000


def test_other_numbers_are_compiled_anew(compiler: FakeCompiler, request_: dict[str, Any]) -> None:
    """The cache never answers for a different layout."""
    request.answer(request_)
    request_["definitions"] = {"EVENT_BYTES": 104}
    request.answer(request_)
    assert compiler.runs == 2


def test_a_client_built_into_the_kernel_is_found(
    compiler: FakeCompiler, request_: dict[str, Any], tmp_path: Path
) -> None:
    """Without a module's BTF its types and functions are taken from vmlinux."""
    (tmp_path / "built_in").mkdir()
    request_["btf"] = str(write_kernel(tmp_path / "built_in", "6.12", built_in=True))
    answer = request.answer(request_)
    assert answer["object"] == "vmlinux"
    assert compiler.definitions["MID_resp_buf"] == 120


def test_a_kernel_without_btf_is_told(compiler: FakeCompiler, request_: dict[str, Any]) -> None:
    """The error names the file and the option."""
    Path(request_["btf"], "vmlinux").unlink()
    with pytest.raises(BtfError, match=r"vmlinux.*CONFIG_DEBUG_INFO_BTF"):
        request.answer(request_)
    assert compiler.runs == 0


def test_a_module_without_btf_is_told(compiler: FakeCompiler, request_: dict[str, Any]) -> None:
    """As on 5.10: the kernel has types, its modules have none."""
    Path(request_["btf"], "cifs").unlink()
    with pytest.raises(BtfError, match=r"cifs is missing .*_BTF_MODULES"):
        request.answer(request_)
    assert compiler.runs == 0


def test_tracepoints_need_no_types(
    compiler: FakeCompiler, request_: dict[str, Any], tmp_path: Path
) -> None:
    """Only tracepoints of trouble, whose arguments nothing else tells, are left out then."""
    Path(request_["btf"], "cifs").unlink()
    write_tracefs(tmp_path / "tracefs")
    answer = request.answer(request_ | {"method": "tracepoint"})
    assert {target["attach"] for target in answer["targets"]} == {"tracepoint"}
    assert compiler.definitions["ENTER_mid"] == 32
    assert "MID_mid" not in compiler.definitions
    assert any("no tracepoint of trouble" in note for note in answer["notes"])


def test_the_list_of_connections_is_found(compiler: FakeCompiler, request_: dict[str, Any]) -> None:
    """Its address by its whole name; where lists have their links, by the types."""
    lists = request.answer(request_)["lists"]
    assert lists["connections"] == 0xFFFFFFFFC04267E0
    assert (lists["requests"], lists["next_connection"], lists["next_request"]) == (448, 0, 0)
    assert compiler.runs == 1


@pytest.mark.parametrize("text", ["", "0000000000000000 b cifs_tcp_ses_list\t[cifs]\n", None])
def test_a_hidden_list_of_connections_is_a_note(
    compiler: FakeCompiler, request_: dict[str, Any], text: str | None
) -> None:
    """Without the symbol, with kptr_restrict, without the file: everything else works."""
    symbols = Path(request_["symbols"])
    symbols.write_text(text) if text is not None else symbols.unlink()
    answer = request.answer(request_)
    assert answer["lists"]["connections"] == 0
    assert any(note.startswith("cifs_tcp_ses_list is not in") for note in answer["notes"])
    assert compiler.runs == 1


def test_an_unusable_cache_is_a_note(compiler: FakeCompiler, request_: dict[str, Any]) -> None:
    """Everything works without one."""
    Path(request_["cache"]).write_text("in the way")
    answer = request.answer(request_)
    assert compiler.runs == 1
    assert any(note.startswith("no cache: ") for note in answer["notes"])


def test_imported_byte_code_needs_no_bcc(
    compiler: FakeCompiler, request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key has neither compiler nor kernel release; another layout's is not taken."""
    compiled = request.answer(request_)
    code = {name: base64.b64decode(text) for name, text in compiled["programs"].items()}
    Cache(Path(request_["imported"])).store(compiled["key"], code)
    monkeypatch.setattr(request, "bcc_version", _no_bcc)
    elsewhere = os.uname_result(("Linux", "h", "9.9", "", os.uname().machine))
    monkeypatch.setattr(os, "uname", lambda: elsewhere)
    answer = request.answer(request_)
    assert (answer["byte_code"], answer["compiler"]) == ("imported", "")
    assert answer["programs"] == compiled["programs"]
    request_["definitions"] = {"EVENT_BYTES": 104}
    with pytest.raises(MissingBccError):
        request.answer(request_)
    assert compiler.runs == 1


def _no_bcc() -> str:
    raise MissingBccError("this Python has no module bcc")


def test_what_was_compiled_here_goes_before_what_was_imported(
    compiler: FakeCompiler, request_: dict[str, Any]
) -> None:
    """Byte code that lacks a program, or that others can write, is compiled instead."""
    compiled = request.answer(request_ | {"cache": None})
    imported = Cache(Path(request_["imported"]))
    imported.store(compiled["key"], {"request_alloc": b"12345678"})
    assert request.answer(request_)["byte_code"] == "compiled"
    code = {name: base64.b64decode(text) for name, text in compiled["programs"].items()}
    imported.store(compiled["key"], code)
    assert request.answer(request_)["byte_code"] == "cache"
    assert request.answer(request_ | {"cache": None})["byte_code"] == "imported"
    Path(request_["imported"]).chmod(0o777)
    answer = request.answer(request_ | {"cache": None})
    assert answer["byte_code"] == "compiled"
    assert any("others can write" in note for note in answer["notes"])
    assert compiler.runs == 3


def test_no_cache_directory_means_no_cache(
    compiler: FakeCompiler, request_: dict[str, Any]
) -> None:
    """Then every start compiles, and says nothing about it."""
    request_["cache"] = None
    request.answer(request_)
    assert not any("cache" in note for note in request.answer(request_)["notes"])
    assert compiler.runs == 2


def test_entries_survive_and_are_private(tmp_path: Path) -> None:
    """What is stored is loaded, 0600 in 0700, and leaves no partial file."""
    cache = Cache(tmp_path / "deep" / "cache")
    cache.store("k", {"a": b"\0\1", "b": b""})
    assert cache.load("k") == {"a": b"\0\1", "b": b""}
    assert [p.name for p in (tmp_path / "deep" / "cache").iterdir()] == ["k.json"]
    assert (tmp_path / "deep" / "cache").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep" / "cache" / "k.json").stat().st_mode & 0o777 == 0o600


def test_a_missing_entry_is_none(tmp_path: Path) -> None:
    """A miss is no error."""
    assert Cache(tmp_path / "cache").load("k") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-10],
        lambda text: text.replace("AAE=", "AAI="),
        lambda _: "[]",
        lambda _: "{}",
        lambda _: "\0",
        lambda text: json.dumps(json.loads(text) | {"programs": {"a": 1}}),
    ],
)
def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path, damage: Any) -> None:
    """Truncated, altered or foreign content is never loaded into the kernel."""
    cache = Cache(tmp_path / "cache")
    cache.store("k", {"a": b"\0\1"})
    path = tmp_path / "cache" / "k.json"
    path.write_text(damage(path.read_text()))
    assert cache.load("k") is None
    cache.store("k", {"a": b"\0\1"})
    assert cache.load("k") == {"a": b"\0\1"}


def test_an_entry_under_another_key_is_refused(tmp_path: Path) -> None:
    """A renamed file does not answer for other sources."""
    cache = Cache(tmp_path / "cache")
    cache.store("k", {"a": b"\0\1"})
    (tmp_path / "cache" / "k.json").rename(tmp_path / "cache" / "other.json")
    assert cache.load("other") is None


def test_an_entry_others_can_write_is_refused(tmp_path: Path) -> None:
    """Neither is one that is a link."""
    cache = Cache(tmp_path / "cache")
    cache.store("k", {"a": b"\0\1"})
    path = tmp_path / "cache" / "k.json"
    (tmp_path / "cache" / "link.json").symlink_to(path)
    assert cache.load("link") is None
    path.chmod(0o666)
    assert cache.load("k") is None


def test_a_directory_others_can_write_is_refused(tmp_path: Path) -> None:
    """So is a link to a good one."""
    tmp_path.joinpath("open").mkdir()
    tmp_path.joinpath("open").chmod(0o777)
    with pytest.raises(CacheUnusableError, match="others"):
        Cache(tmp_path / "open")
    tmp_path.joinpath("good").mkdir(mode=0o700)
    tmp_path.joinpath("link").symlink_to(tmp_path / "good")
    with pytest.raises(CacheUnusableError):
        Cache(tmp_path / "link")


def test_the_key_depends_on_all_it_should() -> None:
    """Sources, their names, numbers, compiler."""
    keys = {
        cache_key({"a.c": "x"}, {"N": 1}, "bcc 1"),
        cache_key({"a.c": "y"}, {"N": 1}, "bcc 1"),
        cache_key({"b.c": "x"}, {"N": 1}, "bcc 1"),
        cache_key({"a.c": "x"}, {"N": 2}, "bcc 1"),
        cache_key({"a.c": "x"}, {"M": 1}, "bcc 1"),
        cache_key({"a.c": "x"}, {"N": 1}, "bcc 2"),
    }
    assert len(keys) == 6


@pytest.mark.usefixtures("compiler")
def test_what_was_read_ahead_gives_the_same_answer(request_: dict[str, Any]) -> None:
    """Types and symbols are not read again; what the request names instead is."""
    expected = request.answer(request_)
    symbols, vmlinux = Path(request_["symbols"]), Path(request_["btf"], "vmlinux")
    places = (request_["btf"], request_["symbols"], request_["cache"])
    ahead = read_ahead(*places)
    listed, types = symbols.read_text(), vmlinux.read_bytes()
    symbols.unlink()
    vmlinux.unlink()
    answer = request.answer(request_, ahead)
    assert answer["steps_ms"].pop("ahead") > 0
    assert {**answer, "steps_ms": 0} == {**expected, "byte_code": "cache", "steps_ms": 0}
    symbols.with_name("others").write_text(listed.replace("c04267e0", "c04267f0"))
    vmlinux.write_bytes(types)
    others = request_ | {"symbols": str(symbols.with_name("others"))}
    assert request.answer(others, ahead)["lists"]["connections"] == 0xFFFFFFFFC04267F0


@pytest.mark.usefixtures("compiler")
def test_what_cannot_be_read_ahead_is_left_to_the_request(
    request_: dict[str, Any], tmp_path: Path
) -> None:
    """It says what is missing; nothing fails before that."""
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(BtfError, match="vmlinux"):
        request.answer(request_ | {"btf": nowhere}, read_ahead(nowhere, nowhere, nowhere))
    assert request.answer(request_, read_ahead(nowhere, nowhere))["object"] == "cifs"


def test_bcc_is_imported_ahead_when_there_is_no_byte_code(
    monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], tmp_path: Path
) -> None:
    """It takes 0.1 s and 60 MB: not where the cache will answer, as far as is known."""
    imports: list[str] = []
    monkeypatch.setattr(ahead_module, "import_bcc", lambda: imports.append("bcc"))
    empty, filled = tmp_path / "empty", tmp_path / "filled"
    for directory in (empty, filled):
        directory.mkdir()
    (filled / "key.json").touch()
    read_ahead(request_["btf"], request_["symbols"], str(empty), str(filled))
    assert imports == []
    read_ahead(request_["btf"], request_["symbols"], str(empty), str(tmp_path / "none"))
    assert imports == ["bcc"]


def test_the_child_imports_nothing_of_the_package_around_it() -> None:
    """It runs under any Python 3.9 with bcc, which may lack all of our dependencies."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import compiler.request; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'aodasync', 'bcc'}))"
    )
    directory = str(Path(request.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, directory], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
