# SPDX-License-Identifier: MIT
"""An anonymised bundle tells the same story about nobody."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import zstandard

from aodasync.bundle import anonymise, text_budget
from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.cli import main as cli
from aodasync.events import EVENT
from tests.fuzz.bundle_maker import MANIFEST, bundle

_NAME = BundleName(1, "latency")
_MOUNTS = (
    r"//nas7.corp.example/payroll /mnt/p cifs rw,username=ACME\jsmith,domain=ACME,"
    "addr=10.20.30.40,uid=0 0 0\n"
)
_LOG = (
    "2026-11-22T18:29:06 ws12 kernel: CIFS: VFS: \\\\NAS7\\Payroll Cancelling wait for mid 5\n"
    "ws12 sudo[7]:   jsmith : COMMAND=/bin/ls /home/jsmith/x; nas7 answered on fe80::1:2%eth0\n"
    "ws12 link aa:bb:cc:dd:ee:ff up at 18:29:06, kernel 6.12.117, vers=3.1.1, lo 127.0.0.1 ::1\n"
    "session opened for user jsmith(uid=0) by root on 10.20.30.40 and [2001:db8:5::7]:445\n"
)
_SECRETS = re.compile(
    r"salaries|xlsx|nas7|corp|payroll|acme|jsmith|ws12|10\.20\.30|fe80|aa:bb|2001:db8:5",
    re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The agent's state directory."""
    directory = tmp_path / "state"
    monkeypatch.setattr(anonymise, "_STATE_DIR", directory)
    monkeypatch.setenv("XDG_STATE_HOME", str(directory))
    return directory


def _store(directory: Path, **changed: object) -> Path:
    descriptor = os.open(directory, os.O_RDONLY)
    partial = PartialBundle(_NAME, descriptor)
    partial.create()
    partial.write_events(np.zeros(2, EVENT))
    manifest = {
        "bundle": str(_NAME),
        "host": "ws12",
        "anomaly": {"name": "latency", "type": "latency", "server": "nas7.corp.example"},
        "connections": [{"connection_id": 1, "server": "nas7.corp.example", "port": 445}, 3],
        "verdict": {"cause": "server", "sentence": "nas7.corp.example was slow."},
        "who": {
            "shares": [{"name": "//nas7/payroll"}],
            "processes": [{"name": "dd", "pid": 7}],
            "files": [{"name": "salaries/acme.xlsx"}, 3],
        },
        "mounts": [{"mount_point": "/mnt/payroll", "source": "//nas7/payroll", "usable": True}],
        "actions": [
            {"name": "dmesg", "file": "dmesg.log", "bytes": len(_LOG)},
            {"name": "tcpdump", "file": "tcpdump.pcap", "bytes": 9, "error": None},
        ],
        "events": {"count": 2},
        "kernel": {"release": "5.15.153.1-2.cm2"},
        **changed,
    }
    files = {
        "dmesg.log": _LOG.encode(),
        "mounts.log": _MOUNTS.encode() + b"\xff\n",
        "tcpdump.pcap": b"to jsmith",
        "inflight.json": json.dumps(
            [{"server": "nas7", "share": "//nas7/payroll", "file_name": "salaries/7"}]
        ).encode(),
        "files.json": json.dumps(
            [{"file_name": "salaries/acme.xlsx", "events": [0, 1]}, {"file_name": "."}]
        ).encode(),
        "open_files.log": b"0x1 0x2 4 7 1000 1 /mnt/payroll/Salaries/acme.xlsx\n",
        "manifest.json": json.dumps(manifest).encode(),
    }
    for file, data in files.items():
        partial.write(file, data)
    pack(_NAME, batches_fd=descriptor, mtime_sec=7, cancelled=threading.Event())
    partial.remove()
    os.close(descriptor)
    return directory / _NAME.archive


def _texts(path: Path) -> dict[str, str]:
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = [(entry.name.rpartition("/")[2], tar.extractfile(entry)) for entry in tar]
        return {name: file.read().decode("utf-8", "replace") for name, file in found if file}


def _anonymised(path: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """The archive to send, and the map to keep, as the command prints them."""
    assert cli.main(["bundles", "anonymise", str(path), "-o", str(target)]) == 0
    send, keep = capsys.readouterr().out.splitlines()
    assert send.startswith("send: ")
    assert keep.startswith("keep: ")
    return Path(send[6:]), Path(keep[6:])


def test_names_go_from_every_file_and_the_map_is_kept_apart(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name or address of anybody in any file; the archive is whole; the map has them all."""
    path = _store(tmp_path)
    target = tmp_path / "out"
    target.mkdir()
    archive, names = _anonymised(path, target, capsys)
    assert {archive} == set(target.iterdir())
    assert names.is_relative_to(state)
    assert [p.stat().st_mode & 0o777 for p in (archive, names)] == [0o600, 0o600]
    assert verify(archive) == ()
    texts = _texts(archive)
    for file, text in texts.items():
        assert not _SECRETS.search(text), file
    mapping = json.loads(names.read_text())
    assert mapping["nas7"] != mapping["ws12"]
    assert mapping["jsmith"].startswith("user")
    assert read_manifest(archive)["verdict"]["sentence"].startswith(mapping["nas7"] + ".")
    assert read_manifest(archive)["anomaly"]["type"] == "latency"
    assert "tcpdump.pcap" not in texts
    packets = read_manifest(archive)["actions"][1]
    assert (packets["file"], packets["bytes"]) == (None, 0)
    assert packets["error"] == "left out: packets hold addresses and names"
    directory, file = mapping["salaries"], mapping["acme.xlsx"]
    assert json.loads(texts["files.json"]) == [
        {"file_name": f"{directory}/{file}", "events": [0, 1]},
        {"file_name": "."},
    ]
    assert f"/{directory}/{file}" in texts["open_files.log"]
    assert read_manifest(archive)["who"]["files"] == [{"name": f"{directory}/{file}"}]
    assert json.loads(texts["inflight.json"])[0]["file_name"] == f"{directory}/{mapping['7']}"
    assert f"//{mapping['nas7']}/" in json.loads(texts["inflight.json"])[0]["share"]
    assert cli.main(["bundles", "anonymise", str(path), "-o", str(target)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_what_is_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing one, another file, no such directory: an error of one line, nothing written."""
    path = _store(tmp_path)
    (tmp_path / "x.tar.zst").write_bytes(b"x")
    for argv in (["none"], [str(tmp_path / "x.tar.zst")], [str(path), "-o", "/nonexistent/x"]):
        assert cli.main(["bundles", "anonymise", *argv]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    broken = tmp_path / BundleName(2, "hang").archive
    broken.write_bytes(path.read_bytes()[:-9])
    assert cli.main(["bundles", "anonymise", str(broken), "-o", str(tmp_path)]) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        [_NAME.archive, broken.name, "x.tar.zst"]
    )


def test_a_bundle_that_was_renamed_is_anonymised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name is taken from the manifest; without one there, one line says so."""
    path = _store(tmp_path).rename(tmp_path / "case123.tar.zst")
    archive, _ = _anonymised(path, tmp_path, capsys)
    assert archive.name == "aod_quick_1_latency-anonymised.tar.zst"
    nameless = _store(tmp_path, bundle=7).rename(tmp_path / "case124.tar.zst")
    assert cli.main(["bundles", "anonymise", str(nameless), "-o", str(tmp_path)]) == 1
    assert "names a bundle" in capsys.readouterr().err


def _nested(depth: int) -> object:
    value: object = "nas7"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"connections": True, "actions": True, "anomaly": 7, "host": ["x"]}, ""),
        ({"actions": [{"file": ["x"]}, {"file": {}}, 3], "kernel": [[{"x": 1}]]}, ""),
        ({"verdict": {"evidence": _nested(80)}}, "nested more than 32 deep"),
    ],
)
def test_hostile_manifests_are_anonymised_or_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, object], error: str
) -> None:
    """Whatever a manifest holds in place of what it should: a copy, or one clear line."""
    path = _store(tmp_path, **changed)
    code = cli.main(["bundles", "anonymise", str(path), "-o", str(tmp_path)])
    printed = capsys.readouterr().err
    assert code == (1 if error else 0)
    assert error in printed
    assert printed.count("\n") == bool(error)
    assert "defect" not in printed


def test_a_manifest_counts_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as any other: what has no room beside it is left out, with the reason."""
    monkeypatch.setattr(text_budget, "_LEAST_ROOM_BYTES", 10_000)
    path = tmp_path / "bundle"
    action = {"name": "dmesg", "file": "dmesg.log"}
    manifest = {**MANIFEST, "actions": [action], "long": "x" * 8_000}
    path.write_bytes(bundle(manifest, dmesg_log=b"y" * 4_000))
    archive, _ = anonymise.anonymise(path, tmp_path)
    (left_out,) = read_manifest(archive)["actions"]
    assert left_out["error"].startswith("left out: more text than")


@pytest.mark.parametrize("log", [b"a" * 2_000_000, b"2001:db8::1:2 \n" * 60_000])
def test_texts_made_to_take_long_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bytes
) -> None:
    """Lines of megabytes, and those that take more time than there is."""
    monkeypatch.setattr(text_budget, "_SEC_PER_BYTE", 3e-8)
    path = tmp_path / "bundle"
    action = {"name": "dmesg", "file": "dmesg.log"}
    path.write_bytes(bundle({**MANIFEST, "actions": [action]}, dmesg_log=log))
    archive, _ = anonymise.anonymise(path, tmp_path)
    (left_out,) = read_manifest(archive)["actions"]
    assert left_out["error"].startswith("left out: more text than")
