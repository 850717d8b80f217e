# SPDX-License-Identifier: MIT
"""Bundles made to harm who reads them: each has its right answer, in bounded time and memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from aodasync.events import EVENT
from tests.builders import SECOND
from tests.fuzz.bounded import run_bounded
from tests.fuzz.bundle_maker import (
    BUNDLE,
    MANIFEST,
    archive,
    bundle,
    entry,
    events_file,
    rows,
    zeros,
)
from tests.fuzz.read_everywhere import COMMANDS, read_everywhere

_LONG: Final = "n" * 300_000
_ESCAPES: Final = "\x1b[31mred\x07\u202egnp\ud800"


def _manifest(**changes: Any) -> bytes:
    return bundle({**MANIFEST, **changes})


def _raw_manifest(old: str, new: str) -> bytes:
    """A manifest with a piece of JSON that Python would not write."""
    text = json.dumps(MANIFEST)
    assert old in text
    return bundle(manifest_json=text.replace(old, new).encode())


def _anomaly(**changes: Any) -> bytes:
    return _manifest(anomaly={**MANIFEST["anomaly"], **changes})


def _rows(**changes: Any) -> bytes:
    found = rows()
    for name, value in changes.items():
        found[name][0] = value
    return bundle(events_npy=events_file(found))


def _many_rows(count: int, **fields: Any) -> bytes:
    found = np.zeros(count, EVENT)
    found["released_ns"] = SECOND + np.arange(count, dtype=np.uint64)
    found["issued_ns"] = SECOND
    for name, value in fields.items():
        found[name] = value
    return bundle(events_npy=events_file(found))


def _no_itemsize() -> bytes:
    header = b"{'descr': [], 'fortran_order': False, 'shape': (9999999999999999,), }\n"
    return bundle(events_npy=b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def _small_items() -> bytes:
    tiny = np.zeros(30_000_000, [("issued_ns", "u1"), ("command", "u1")])
    return bundle(events_npy=events_file(tiny))


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def _with(kind: bytes, data: bytes) -> Callable[[], bytes]:
    return lambda: archive(entry(f"{BUNDLE}/x", data, kind=kind), entry("x/manifest.json", b"{}"))


_PAX: Final = b"20 " + b"9" * 200_000 + b"=1\n"

# A second for each command: the others meet the like in other cases.
_DEAR: Final = frozenset(
    {
        "pax header of 1 GiB",
        "1 GiB of zeros after its end",
        "events.npy of 500 MiB of zeros",
        "events.npy of small items",
        "manifest of 500 MiB of zeros",
        "lists within lists",
        "two million lists",
        "100 logs of a MiB",  # anonymise takes its time for each byte
    }
)

# name: the bundle, the command, its exit code, and what it prints (all commands are run)
_CASES: Final[dict[str, tuple[Callable[[], bytes], str, int, str]]] = {
    "pax header of 200,000 digits": (_with(b"x", _PAX), "show", 1, "is a PAX header"),
    "global pax header": (_with(b"g", _PAX), "verify", 1, "is a global PAX header"),
    "gnu long name": (_with(b"L", b"x" * 100_000), "report", 1, "is a GNU long name"),
    "gnu long link": (_with(b"K", b"x" * 100_000), "show", 1, "is a GNU long link"),
    "sparse file": (_with(b"S", b""), "verify", 1, "is a sparse file"),
    "device": (_with(b"3", b""), "verify", 1, "neither a file nor a directory"),
    "pax header of 1 GiB": (
        lambda: zeros(entry("x", size=1 << 30, kind=b"x"), 500),
        *("ls", 0, "unreadable"),
    ),
    "5,000 empty files": (
        lambda: archive(*(entry(f"{BUNDLE}/{n}") for n in range(5000))),
        *("verify", 1, "more than 1000 files"),
    ),
    "the same file again and again": (
        lambda: archive(*(entry(f"{BUNDLE}/same", b"x") for _ in range(900))),
        *("verify", 1, "same is there twice"),
    ),
    "1 GiB of zeros after its end": (
        lambda: zeros(b"", 1100),
        *("verify", 1, "more than 1024 MiB"),
    ),
    "something after its end": (
        lambda: archive(bytes(1024), entry("x/y", b"hidden")),
        *("verify", 1, "follows the end of its files"),
    ),
    "debug_data of 50,000 newlines": (
        lambda: bundle(debug_data_log=b"\n" * 500_000),
        *("report", 0, "Segments were lost."),
    ),
    "manifest of 500 MiB of zeros": (
        lambda: zeros(entry(f"{BUNDLE}/manifest.json", size=500 << 20), 500),
        *("show", 1, "manifest.json is larger than 8 MiB"),
    ),
    "events.npy of 500 MiB of zeros": (
        lambda: zeros(
            entry(f"{BUNDLE}/manifest.json", b"{}") + entry(f"{BUNDLE}/events.npy", size=500 << 20),
            500,
        ),
        *("report", 1, "events.npy is larger than 128 MiB"),
    ),
    "events.npy of small items": (_small_items, "verify", 1, "1,000,000 are read at most"),
    "events.npy of no itemsize": (_no_itemsize, "verify", 1, "events.npy"),
    "100,000 failed requests": (
        lambda: _many_rows(100_000, command=8, status=0xC0000022, tree_id=np.arange(100_000)),
        *("report", 0, "STATUS_ACCESS_DENIED"),
    ),
    "65,536 commands": (
        lambda: _many_rows(100_000, command=np.arange(100_000) % 65536),
        *("report", 0, "Segments were lost."),
    ),
    "200,000 rows": (lambda: _many_rows(200_000, command=8), "report", 0, "Segments"),
    "evidence of 30,000": (
        lambda: _manifest(
            verdict={"sentence": "x", "evidence": {str(n): n for n in range(30_000)}}
        ),
        *("show --all", 0, "29800 more"),
    ),
    "a sentence of five million": (
        lambda: _manifest(verdict={"cause": "x", "sentence": "y" * 5_000_000}),
        *("show", 0, "more characters"),
    ),
    "30,000 actions": (
        lambda: _manifest(actions=[{"name": "n", "error": "e" * 40}] * 30_000),
        *("report", 0, "29,900 more are in the bundle"),
    ),
    "100 logs of a MiB": (
        lambda: archive(
            entry(f"{BUNDLE}/manifest.json", json.dumps(MANIFEST).encode()),
            entry(f"{BUNDLE}/events.npy", events_file(rows())),
            *(entry(f"{BUNDLE}/{n}.log", b"&" * (1 << 20)) for n in range(100)),
        ),
        *("report", 0, "Segments were lost."),
    ),
    "in flight: a list of eight million": (
        lambda: bundle(inflight_json=b"[" + b"{}," * 4_000_000 + b"{}]"),
        *("report", 0, "inflight.json is larger than 8 MiB"),
    ),
    "a log of a hundred million": (
        lambda: bundle(
            syslogs_log=b"session opened for user jsmith by root on 10.1.2.3\n" * 2_000_000
        ),
        *("anonymise", 0, "send: "),
    ),
    "in flight: 200,000": (
        lambda: bundle(inflight_json=b"[" + b'{"":0},' * 200_000 + b"{}]"),
        *("report", 0, "more are in the bundle"),
    ),
    "escapes everywhere": (
        lambda: bundle(
            {
                **MANIFEST,
                "host": _ESCAPES,
                "bundle": _ESCAPES,
                "anomaly": {"name": _ESCAPES, "server": _ESCAPES},
                "verdict": {"cause": _ESCAPES, "sentence": f"{_ESCAPES}\nsecond"},
                "actions": [{"name": _ESCAPES, "file": _ESCAPES, "bytes": _ESCAPES}],
            }
        ),
        *("ls", 0, "\N{REPLACEMENT CHARACTER}[31mred"),
    ),
    "escapes in a name": (
        lambda: archive(entry(f"{BUNDLE}/\x1b[2J", kind=b"2")),
        *("verify", 1, "\N{REPLACEMENT CHARACTER}[2J is neither"),
    ),
    "an action's file is a list": (
        lambda: _manifest(actions=[{"file": [1], "bytes": {}}]),
        *("verify", 1, "a file that is no text: [1]"),
    ),
    "times of 309 digits": (
        lambda: _raw_manifest('"last_ns": 99000000000', f'"last_ns": 1{"0" * 308}'),
        *("show", 0, "Segments were lost."),
    ),
    "a number of 5,000 digits": (
        lambda: _raw_manifest('"count": 4', f'"count": 1{"0" * 5000}'),
        *("show", 0, "Segments were lost."),
    ),
    "a lone surrogate": (lambda: _anomaly(server="\ud800"), "ls", 0, "\N{REPLACEMENT CHARACTER}"),
    "an age of 1e999": (
        lambda: bundle(inflight_json=b'[{"age_ms": 1e999}, {"age_ms": NaN}, {"age_ms": -1e999}]'),
        *("report", 0, "Segments were lost."),
    ),
    "evidence nested 900 deep": (
        lambda: _manifest(verdict={"sentence": "x", "evidence": _deep(900)}),
        *("report", 1, "nested more than 32 deep"),
    ),
    "connections that are true": (lambda: _manifest(connections=True), "replay", 0, ""),
    "names of millions of characters": (
        lambda: _manifest(bundle=_LONG, host=_LONG[:9], anomaly={"name": "x", "server": _LONG}),
        *("diff", 0, "A  nnn"),
    ),
    "lists within lists": (
        lambda: _manifest(deep=json.loads("[" * 30 + "[],[]" + ",[]" * 600_000 + "]" * 30)),
        *("show --json", 0, '"deep": [[['),
    ),
    "two million lists": (
        lambda: _manifest(wide=json.loads("[[]" + ",[]" * 2_000_000 + "]")),
        *("anonymise", 1, "more than 1,000,000 values"),
    ),
    "an array with a warning": (
        lambda: bundle(events_npy=events_file(rows()).replace(b"(4,), }", b"(4L,),}")),
        *("verify", 0, "ok"),
    ),
    "one name in two directories": (
        lambda: archive(entry("x/manifest.json", b"{}"), entry("y/manifest.json", b"{}")),
        *("report", 1, "manifest.json is there twice"),
    ),
    "a file called ..": (
        lambda: archive(entry("x/manifest.json", b"{}"), entry("x/..", b"x")),
        *("anonymise", 1, "a file in it has no name"),
    ),
    "a tree id of Infinity": (
        lambda: _raw_manifest('"tree_id": 7', '"tree_id": Infinity'),
        *("replay", 0, ""),
    ),
    "a release at the end of time": (
        lambda: _rows(released_ns=(1 << 64) - 1, issued_ns=(1 << 64) - 1),
        *("replay", 0, ""),
    ),
    "a port of many bits": (
        lambda: _manifest(connections=[{**MANIFEST["connections"][0], "connection_id": -1}]),
        *("replay", 0, ""),
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_each_has_its_answer(name: str, tmp_path: Path) -> None:
    """Every command ends with one line or a page, within 20 s and 1 GiB; one says this."""
    make, command, code, said = _CASES[name]
    output_dir = tmp_path / "output"
    output_dir.mkdir()
    path = output_dir / f"{BUNDLE}.tar.zst"
    path.write_bytes(make())
    assert path.stat().st_size < 1 << 20
    dear = name in _DEAR
    run_bounded(partial(_read, path, tmp_path, command, code, said, dear=dear))


def _read(path: Path, work: Path, command: str, code: int, said: str, *, dear: bool) -> str:
    commands = [command] if dear else COMMANDS
    got, printed = read_everywhere(path, path.parent, work, commands)[command]
    assert got == code, printed[:2000]
    assert said in printed, printed[:2000]
    return ""
