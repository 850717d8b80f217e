# SPDX-License-Identifier: MIT
"""Byte code exported and imported: whole, for this host, from nobody else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aodasync import __version__
from aodasync.errors import LayoutError, NotPermittedError, RequirementError
from aodasync.probes import exchange
from aodasync.probes.compiler.cache import Cache
from aodasync.probes.exchange import export_probes, import_probes
from aodasync.probes.preparation import Prepared
from aodasync.probes.program_loader import Program

_KEYS = {"fentry": "a" * 64, "kprobe": "b" * 64}
_KEYS_WITHOUT_FILES = {"fentry": "c" * 64, "kprobe": "d" * 64}
_CODE = b"\x95" + bytes(7)


async def _prepare(*, method: str, file_names: bool, **_: Any) -> Prepared:
    """What a host answers that knows no tracepoints."""
    if method not in _KEYS:
        raise LayoutError("no tracepoints")
    program = Program("alloc", f"alloc_{method}", _CODE, method, "f")
    key = (_KEYS if file_names else _KEYS_WITHOUT_FILES)[method]
    return Prepared("cifs", (program,), (), {}, key=key, compiler="bcc 0.31")


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a host with two methods."""
    monkeypatch.setattr(exchange, "prepare", _prepare)
    path = tmp_path / "probe.json"
    path.write_text(asyncio.run(export_probes(None)))
    path.chmod(0o600)
    return path


def test_what_is_exported_can_be_imported(exported: Path, tmp_path: Path) -> None:
    """Every method that the host had, with files and without, for root alone.

    Each is kept under the key that the compiler's child asks for.
    """
    said = import_probes(exported, tmp_path / "state" / "probes")
    assert "fentry, kprobe" in said
    assert os.uname().release in said
    kept = Cache(tmp_path / "state" / "probes")
    for method, key in (*_KEYS.items(), *_KEYS_WITHOUT_FILES.items()):
        assert kept.load(key) == {f"alloc_{method}": _CODE}
    modes = {p.stat().st_mode & 0o777 for p in (tmp_path / "state" / "probes").iterdir()}
    assert modes == {0o600}


def test_a_host_without_byte_code_says_what_the_best_method_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first error, not the last."""

    async def refuse(*, method: str, **_: Any) -> Prepared:
        raise LayoutError(f"no {method}")

    monkeypatch.setattr(exchange, "prepare", refuse)
    with pytest.raises(LayoutError, match="no fentry"):
        asyncio.run(export_probes(None))


def _flip(content: dict[str, Any]) -> None:
    code = content["probes"][2]["programs"]
    code["alloc_kprobe"] = code["alloc_kprobe"].replace("l", "m", 1)


def _shorten(content: dict[str, Any]) -> None:
    content["probes"][0]["programs"]["alloc_fentry"] = "lQAA"


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update({key: value})


def _of_first(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["probes"][0].update({key: value})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_flip, r"probes\[2\] is not whole"),
        (_shorten, r"probes\[0\] is not whole"),
        (_of_first("key", "../../etc/passwd"), r"probes\[0\] is not whole"),
        (_of_first("programs", []), r"probes\[0\] is not whole"),
        (_of_first("programs", {"a": 1}), r"probes\[0\] is not whole"),
        (_set("probes", []), "probes: expected a list"),
        (_set("probes", [1]), r"probes\[0\] is not whole"),
        (_set("machine", "vax"), "machine: expected .*found 'vax'"),
        (_set("aodasync", "0.0.9"), f"aodasync: expected '{__version__}', found '0.0.9'"),
        (_set("format", 2), "format: expected 1, found 2"),
    ],
)
def test_what_is_not_whole_or_not_for_this_host_is_refused(
    exported: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    """One line that names the file and the place; nothing of it is kept."""
    content = json.loads(exported.read_text())
    change(content)
    exported.write_text(json.dumps(content))
    with pytest.raises(RequirementError, match=named) as refused:
        import_probes(exported, tmp_path / "probes")
    assert str(exported) in refused.value.what
    assert not (tmp_path / "probes").exists()


@pytest.mark.parametrize("text", ["", "[]", "\0", "[" * 100_000])
def test_a_file_of_something_else_is_refused(exported: Path, tmp_path: Path, text: str) -> None:
    """Neither JSON nor an object."""
    exported.write_text(text)
    with pytest.raises(RequirementError, match="probe export"):
        import_probes(exported, tmp_path / "probes")


def test_a_file_that_others_can_write_is_refused(exported: Path, tmp_path: Path) -> None:
    """It would be loaded into the kernel. Nor is a device or a directory read."""
    exported.chmod(0o666)
    with pytest.raises(NotPermittedError, match="others can write it"):
        import_probes(exported, tmp_path / "probes")
    for odd in (Path("/dev/zero"), tmp_path, tmp_path / "missing"):
        with pytest.raises(RequirementError, match=str(odd)):
            import_probes(odd, tmp_path / "probes")


def test_a_directory_that_others_can_write_keeps_nothing(exported: Path, tmp_path: Path) -> None:
    """As for the cache."""
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes").chmod(0o777)
    with pytest.raises(NotPermittedError, match="others can write there"):
        import_probes(exported, tmp_path / "probes")
