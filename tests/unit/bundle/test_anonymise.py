# SPDX-License-Identifier: MIT
"""An anonymised bundle tells the same story about nobody."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import threading
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aodasync import cli
from aodasync.bundle.aliases import Aliases
from aodasync.bundle.archive import read_manifest, verify
from aodasync.bundle.names import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.events import EVENT

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
    r"nas7|corp|payroll|acme|jsmith|ws12|10\.20\.30|fe80|aa:bb|2001:db8:5", re.IGNORECASE
)


def _store(directory: Path) -> Path:
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
        "actions": [
            {"name": "dmesg", "file": "dmesg.log", "bytes": len(_LOG)},
            {"name": "tcpdump", "file": "tcpdump.pcap", "bytes": 9, "error": None},
        ],
        "events": {"count": 2},
    }
    files = {
        "dmesg.log": _LOG.encode(),
        "mounts.log": _MOUNTS.encode() + b"\xff\n",
        "tcpdump.pcap": b"to jsmith",
        "inflight.json": json.dumps([{"server": "nas7", "share": "//nas7/payroll"}]).encode(),
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


def test_names_go_from_every_file_and_the_map_stays_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name or address of anybody in any file; the archive is whole; the map says it all."""
    path = _store(tmp_path)
    target = tmp_path / "out"
    target.mkdir()
    assert cli.main(["bundles", "anonymise", str(path), "-o", str(target)]) == 0
    archive, names = (Path(line) for line in capsys.readouterr().out.splitlines())
    assert {archive, names} == set(target.iterdir())
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
    assert f"//{mapping['nas7']}/" in json.loads(texts["inflight.json"])[0]["share"]
    assert cli.main(["bundles", "anonymise", str(path), "-o", str(target)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_what_tells_nobody_apart_stays() -> None:
    """Times, versions, loopback, root, IPC$: evidence, and no names."""
    aliases = Aliases()
    text = "18:29:06 6.12.117 3.1.1 127.0.0.1 ::1 0.0.0.0 user=root //nas/IPC$ 99.99% a::b::c"
    aliases.learn(text)
    assert aliases.replace(text) == text.replace("nas", "host1")


def test_one_name_everywhere_whatever_its_case_and_dress() -> None:
    """UNC, URL-like, upper case and alone: the same host; a name within a word is none."""
    aliases = Aliases()
    aliases.learn(_MOUNTS)
    aliases.learn(_LOG)
    replaced = aliases.replace("NAS7 \\\\nas7\\PAYROLL //nas7.corp.example/payroll nas70 nas7_x")
    host, domain, share = (aliases.mapping[n] for n in ("nas7", "corp.example", "payroll"))
    assert replaced == f"{host} \\\\{host}\\{share} //{host}.{domain}/{share} nas70 nas7_x"


@given(
    addresses=st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6), min_size=1, max_size=40),
)
def test_addresses_are_replaced_one_to_one(addresses: list[object]) -> None:
    """Every address has one substitute, out of the ranges reserved for documentation."""
    aliases = Aliases()
    text = " ".join(map(str, addresses))
    found = aliases.replace(f"{text} {text}").split()
    assert found[: len(addresses)] == found[len(addresses) :]
    assert len(set(found)) == len({str(address) for address in addresses})
    nets = [ip_network(n) for n in ("192.0.2.0/24", "2001:db8::/32")]
    for before, after in zip(addresses, found, strict=False):
        address = ip_address(after)
        kept = address.is_loopback or address.is_unspecified
        assert kept == (str(before) == after) or str(before) in aliases.mapping
        assert kept or any(address in net for net in nets)


def test_what_is_no_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing one, another file, no such directory: an error of one line, nothing written."""
    path = _store(tmp_path)
    (tmp_path / "x.tar.zst").write_bytes(b"x")
    for argv in (["none"], [str(tmp_path / "x.tar.zst")], [str(path), "-o", "/nonexistent"]):
        assert cli.main(["bundles", "anonymise", *argv]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    broken = tmp_path / BundleName(2, "hang").archive
    broken.write_bytes(path.read_bytes()[:-9])
    assert cli.main(["bundles", "anonymise", str(broken), "-o", str(tmp_path)]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [_NAME.archive, broken.name, "x.tar.zst"]
    )
