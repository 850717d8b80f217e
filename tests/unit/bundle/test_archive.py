# SPDX-License-Identifier: MIT
"""Archives appear whole or not at all, and reading one is safe whatever is in it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aodasync.bundle.archive import list_bundles, load_recording, read_manifest, verify
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.errors import BundleError, RecordingError
from aodasync.events import EVENT, EventArray

_NAME = BundleName(1234, "latency")
_MANIFEST = {
    "schema_version": 1,
    "actions": [{"name": "dmesg", "file": "dmesg.log", "bytes": 6}],
    "events": {"count": 5},
    "connections": [{"connection_id": 1, "server": "nas", "address": "::1", "port": 445}, "?"],
}


def _rows() -> EventArray:
    rows = np.zeros(5, EVENT)
    rows["message_id"] = np.arange(5)
    return rows


@pytest.fixture
def batches(tmp_path: Path) -> Iterator[int]:
    """The descriptor of an empty directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _pack(batches: int, manifest: object = _MANIFEST, **files: bytes) -> int:
    partial = PartialBundle(_NAME, batches)
    partial.create()
    partial.write_events(_rows())
    for name, data in {"dmesg.log": b"hello\n", "inflight.json": b"[]", **files}.items():
        partial.write(name, data)
    partial.write("manifest.json", json.dumps(manifest).encode())
    try:
        return pack(_NAME, batches_fd=batches, mtime_sec=7, cancelled=threading.Event())
    finally:
        partial.remove()


def test_archive_holds_one_directory_of_roots(batches: int, tmp_path: Path) -> None:
    """One directory of the bundle's name, root's, 0700 and 0600; the manifest comes first."""
    size = _pack(batches)
    path = tmp_path / _NAME.archive
    assert path.stat().st_size == size
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [_NAME.archive]
    with (
        path.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        entries = list(tar)
    assert [entry.name for entry in entries] == [
        f"{_NAME}{tail}"
        for tail in ("", "/manifest.json", "/inflight.json", "/dmesg.log", "/events.npy")
    ]
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {
        (0, 0, "root", "root", 7)
    }
    assert [oct(entry.mode) for entry in entries] == ["0o700", *["0o600"] * 4]


def test_tar_and_zstd_read_it(batches: int, tmp_path: Path) -> None:
    """The tools that a support engineer has open it."""
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    _pack(batches)
    listed = subprocess.run(
        ["tar", "--zstd", "-tf", tmp_path / _NAME.archive],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{_NAME}/manifest.json" in listed.stdout.splitlines()


def test_reading_back(batches: int, tmp_path: Path) -> None:
    """Manifest and rows come back; nothing is wrong with it."""
    _pack(batches)
    path = tmp_path / _NAME.archive
    assert read_manifest(path) == _MANIFEST
    manifest, rows = load_recording(path)
    assert rows.tobytes() == _rows().tobytes()
    assert [c["server"] for c in manifest["connections"]] == ["nas"]  # the odd one is left out
    assert verify(path) == ()


def test_directory_is_a_recording(tmp_path: Path) -> None:
    """manifest.json and events.npy in a directory are enough."""
    (tmp_path / "manifest.json").write_text("{}")
    np.save(tmp_path / "events.npy", _rows())
    manifest, rows = load_recording(tmp_path)
    assert (manifest["losses"], manifest["connections"], len(rows)) == ({}, [], 5)
    assert read_manifest(tmp_path) == {}


@pytest.mark.parametrize("lacking", ["manifest.json", "events.npy"])
def test_incomplete_directory_is_one_line(tmp_path: Path, lacking: str) -> None:
    """What lacks is named."""
    (tmp_path / "manifest.json").write_text("{}")
    np.save(tmp_path / "events.npy", _rows())
    (tmp_path / lacking).unlink()
    with pytest.raises(RecordingError, match=f"no {lacking} in it"):
        load_recording(tmp_path)


def test_listing_is_by_time_and_of_bundles_alone(tmp_path: Path) -> None:
    """Oldest first; partial ones, links and strangers are not listed."""
    batches = tmp_path / "batches"
    batches.mkdir()
    for name in ("aod_quick_20_error.tar.zst", "aod_quick_3_hang.tar.zst", "notes.txt"):
        (batches / name).write_bytes(b"1234")
    (batches / "aod_quick_4_hang.partial").mkdir()
    (batches / "aod_quick_5_hang.tar.zst").symlink_to("aod_quick_3_hang.tar.zst")
    listed = list_bundles(tmp_path)
    assert [(str(b.name), b.size_bytes) for b in listed] == [
        ("aod_quick_3_hang", 4),
        ("aod_quick_20_error", 4),
    ]
    assert list_bundles(batches) == listed
    with pytest.raises(BundleError, match="no such file"):
        list_bundles(tmp_path / "missing")


def test_full_disk_leaves_nothing(
    batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that cannot be written is not there, under any name."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _pack(batches)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_really_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """On a tmpfs of 64 KiB, a bundle that does not fit is an OSError and leaves nothing."""
    tmp_path = tmp_path / "small"
    tmp_path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this root may not mount")
    try:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(OSError, match="No space left"):
            _pack(descriptor, noise=os.urandom(150_000))
        os.close(descriptor)
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_cancelled_packing_leaves_nothing(batches: int, tmp_path: Path) -> None:
    """Told to stop, packing ends at the next block and removes what it began."""
    cancelled = threading.Event()
    cancelled.set()
    partial = PartialBundle(_NAME, batches)
    partial.create()
    partial.write("manifest.json", b"{}")
    with pytest.raises(BundleError, match="cancelled"):
        pack(_NAME, batches_fd=batches, mtime_sec=0, cancelled=cancelled)
    partial.remove()
    assert list(tmp_path.iterdir()) == []


def test_link_in_the_collection_is_not_followed(batches: int, tmp_path: Path) -> None:
    """A link planted among the evidence is refused, not read."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    partial = PartialBundle(_NAME, batches)
    partial.create()
    (tmp_path / _NAME.directory / "dmesg.log").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        pack(_NAME, batches_fd=batches, mtime_sec=0, cancelled=threading.Event())
    partial.remove()
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_taken_names_are_stepped_over(batches: int, tmp_path: Path) -> None:
    """Two bundles of one nanosecond get names of their own; what is there is never replaced."""
    (tmp_path / BundleName(1, "x").archive).write_text("old")
    (tmp_path / BundleName(2, "x").directory).symlink_to("/nonexistent")
    partial = PartialBundle(BundleName(1, "x"), batches)
    partial.create()
    assert partial.name == BundleName(3, "x")
    partial.remove()
    assert not (tmp_path / BundleName(3, "x").directory).exists()


def test_verify_names_what_is_broken(batches: int, tmp_path: Path) -> None:
    """Wrong sizes, counts and missing files are named one by one."""
    manifest = {
        "actions": [
            {"file": "dmesg.log", "bytes": 7},
            {"file": "journalctl.log", "bytes": 1},
            {"file": None, "bytes": 0},
        ],
        "events": {"count": 6},
    }
    _pack(batches, manifest)
    path = tmp_path / _NAME.archive
    assert verify(path) == (
        "dmesg.log is 6 bytes, the manifest says 7 bytes",
        "journalctl.log is missing, the manifest says 1 bytes",
        "events.npy has 5 rows, the manifest says 6",
    )


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read()


@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_found(batches: int, tmp_path: Path, at: float, flip: int) -> None:
    """Any byte changed, anything cut off or added: verify says so, reading never crashes.

    Except in the frame's header, where a byte may change and nothing of the content.
    """
    good = tmp_path / _NAME.archive
    if not good.exists():
        _pack(batches)
    data = good.read_bytes()
    place = int(at * len(data))
    damaged = tmp_path / "damaged" / _NAME.archive
    damaged.parent.mkdir(exist_ok=True)
    flipped = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
    for candidate in (flipped, data[:place], data + b"\0"):
        damaged.write_bytes(candidate)
        assert verify(damaged) or _content(damaged) == _content(good)
        with contextlib.suppress(RecordingError):
            load_recording(damaged)
        with contextlib.suppress(BundleError):
            read_manifest(damaged)


def _archive(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    path.write_bytes(zstandard.ZstdCompressor().compress(plain.getvalue()))
    return path


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    """A hostile archive's links lead nowhere."""
    link = tarfile.TarInfo("x/manifest.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = _archive(tmp_path / "x.tar.zst", (link, b""))
    with pytest.raises(BundleError, match="neither a file nor a directory"):
        read_manifest(path)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    """A file that grows beyond its bound is refused by what it claims, not by running out."""
    claimed = tarfile.TarInfo("x/manifest.json")
    claimed.size = 17 << 20
    path = tmp_path / "x.tar.zst"
    zeros = zstandard.ZstdCompressor().compress(claimed.tobuf() + bytes(100 << 20))
    path.write_bytes(zeros)
    assert len(zeros) < 100_000
    with pytest.raises(BundleError, match="larger than 8 MiB"):
        read_manifest(path)
    other = tarfile.TarInfo("x/other")
    other.size = 4 << 30
    huge = other.tobuf(tarfile.USTAR_FORMAT) + bytes(100 << 20)
    path.write_bytes(zstandard.ZstdCompressor().compress(huge))
    assert verify(path) == ("x/other claims to be larger than 1024 MiB",)


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff", b"[" * 100_000])
def test_odd_manifests_are_one_line(tmp_path: Path, data: bytes) -> None:
    """A manifest that is not an object is an error, never a traceback."""
    path = _archive(tmp_path / "x.tar.zst", (tarfile.TarInfo("x/manifest.json"), data))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(path)


@pytest.mark.parametrize("shape", ["a", 3, None, [], [1], {"count": "x"}])
def test_wrong_shapes_in_a_manifest_are_survived(
    batches: int, tmp_path: Path, shape: object
) -> None:
    """Whatever a manifest's keys hold, verify reports and loading works."""
    keys = ("actions", "events", "connections", "losses")
    _pack(batches, dict.fromkeys(keys, shape))
    path = tmp_path / _NAME.archive
    assert any("5 rows" in problem for problem in verify(path))
    assert len(load_recording(path)[1]) == 5


def test_what_is_no_archive_is_one_line(tmp_path: Path) -> None:
    """Text, nothing, a directory and a missing file are told apart."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    for name, said in (("text", "not a whole"), ("empty", "too early"), ("none", "no such file")):
        with pytest.raises(RecordingError, match=said):
            load_recording(tmp_path / name)
