#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One pass over nearly everything the kernel's SMB client can ask of a server.

It works on two mounts of one share: CACHED with default options (leases, page
cache, writeback) and DIRECT with ``nolease,cache=none`` (every read, write and
byte-range lock goes to the wire as it is). SERVER is the share's directory on
the server's side, for faults that only the server can make; SERVER/small is a
file system that fills up at once.

Prints one JSON line: the errno names met on purpose with their counts, and what
the server or the kernel did not support.
"""

import argparse
import errno
import fcntl
import json
import mmap
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024

# fs/smb/client/cifs_ioctl.h
_CIFS_IOC_COPYCHUNK_FILE = 0x4004CF03  # _IOW(0xcf, 3, int)
_CIFS_IOC_NOTIFY = 0x4005CF09  # _IOW(0xcf, 9, struct smb3_notify)
_FILE_NOTIFY_CHANGE_FILE_NAME = 0x1

met: Counter[str] = Counter()
unsupported: Counter[str] = Counter()


def expect(code: int, operation: Callable[..., object], *arguments: object) -> None:
    """Run an operation that must fail with ``code``."""
    try:
        operation(*arguments)
    except OSError as error:
        if error.errno != code:
            raise
        met[errno.errorcode[code]] += 1
    else:
        raise AssertionError(f"{operation}{arguments} did not fail with {errno.errorcode[code]}")


def attempt(operation: Callable[..., object], *arguments: object) -> None:
    """Run an operation that this server or kernel may not support."""
    try:
        operation(*arguments)
    except OSError as error:
        unsupported[f"{operation.__name__}: {error.strerror}"] += 1


def small_files(directory: Path, count: int, server: Path) -> None:
    """Create, write, flush, read, stat, rename, link, list and unlink ``count`` files."""
    directory.mkdir()
    content = os.urandom(64 * KIB)
    for number in range(count):
        path = directory / f"file-{number}"
        with path.open("wb") as file:
            file.write(content[: (512, 4 * KIB, 64 * KIB)[number % 3]])
            if number % 2:
                os.fsync(file.fileno())
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.read()
        path.stat()
        expect(errno.ENOENT, (directory / f"missing-{number}").open)
        if number % 3 == 0:
            path.rename(directory / f"renamed-{number}")
        elif number % 3 == 1:
            path.unlink()
        if number % 10 == 0:
            list(directory.iterdir())
            os.statvfs(directory)
            subdirectory = directory / f"directory-{number}"
            subdirectory.mkdir()
            (subdirectory / "inside").touch()
            expect(errno.ENOTEMPTY, subdirectory.rmdir)
            (subdirectory / "inside").unlink()
            subdirectory.rmdir()
            (server / directory.name / f"taken-{number}").touch()
            expect(errno.EEXIST, (directory / f"taken-{number}").open, "x")
            secret = server / directory.name / f"secret-{number}"
            secret.touch(0o600)
            expect(errno.EACCES, (directory / f"secret-{number}").open)


def attributes(directory: Path) -> None:
    """Extended attributes, the security descriptor, times, mode, size."""
    path = directory / "attributes"
    path.write_bytes(b"x" * 5000)
    for number in range(5):
        attempt(os.setxattr, path, f"user.lab{number}", b"value")
        attempt(os.getxattr, path, f"user.lab{number}")
    attempt(os.listxattr, path)
    attempt(os.getxattr, path, "system.cifs_acl")
    attempt(os.getxattr, path, "system.smb3_acl")
    for number in range(5):
        os.utime(path, (number, number))
        os.truncate(path, 100 * number)
    attempt(os.symlink, "attributes", directory / "symlink")
    attempt(os.link, path, directory / "hardlink")


def bulk_cached(directory: Path) -> None:
    """Writeback and readahead of several megabytes, in requests of many credits."""
    path = directory / "bulk"
    with path.open("wb") as file:
        for _ in range(4):
            file.write(os.urandom(4 * MIB))
        os.fsync(file.fileno())
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(4 * MIB):
            pass
    with (directory / "lazy").open("wb", buffering=0) as file:
        file.write(os.urandom(3 * MIB))
        os.sync()  # by the flusher while the file is open: the requests are a kworker's


def bulk_direct(directory: Path) -> None:
    """Reads and writes of 4 KiB to 4 MiB that are not cached, some of them with O_DIRECT."""
    buffer = mmap.mmap(-1, 4 * MIB)
    buffer.write(os.urandom(4 * MIB))
    for name, flag in ("uncached", 0), ("o_direct", os.O_DIRECT):
        opened = os.open(directory / name, os.O_RDWR | os.O_CREAT | flag)
        for size in 4 * MIB, MIB, 64 * KIB, 4 * KIB, 4 * KIB:
            os.pwritev(opened, [memoryview(buffer)[:size]], 0)
            os.fsync(opened)
            os.preadv(opened, [memoryview(buffer)[:size]], 0)
        os.preadv(opened, [memoryview(buffer)[: 4 * KIB]], 64 * MIB)  # beyond the end
        os.close(opened)


def locks(directory: Path) -> None:
    """Byte-range locks taken, refused and dropped."""
    path = directory / "locked"
    path.write_bytes(b"x" * 4096)
    with path.open("r+b") as file:
        for number in range(20):
            fcntl.lockf(file, fcntl.LOCK_EX, 16, 16 * number)
        child = os.fork()
        if child == 0:
            with path.open("r+b") as other:
                expect(errno.EACCES, fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 16, 0)
                os._exit(0)
        if os.waitpid(child, 0)[1]:
            unsupported["conflicting lock: not refused as expected"] += 1
        for number in range(20):
            fcntl.lockf(file, fcntl.LOCK_UN, 16, 16 * number)


def notify(directory: Path, changes: int = 3) -> None:
    """CHANGE_NOTIFY that a new file completes."""
    for number in range(changes):
        child = os.fork()
        if child == 0:
            opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            wanted = struct.pack("<IB", _FILE_NOTIFY_CHANGE_FILE_NAME, 0)
            fcntl.ioctl(opened, _CIFS_IOC_NOTIFY, wanted)
            os._exit(0)
        time.sleep(1)
        (directory / f"news-{number}").touch()
        if os.waitpid(child, 0)[1]:
            unsupported["CHANGE_NOTIFY"] += 1


def copies(directory: Path) -> None:
    """Copies that the server makes by itself."""
    with (directory / "uncached").open("rb") as source:
        for number in range(3):
            with (directory / f"copy-{number}").open("wb") as target:
                attempt(os.copy_file_range, source.fileno(), target.fileno(), MIB, 0, 0)
        with (directory / "copy-chunk").open("wb") as target:
            attempt(fcntl.ioctl, target.fileno(), _CIFS_IOC_COPYCHUNK_FILE, source.fileno())


def fill_up(directory: Path) -> None:
    """Write until the disk is full, uncached."""
    opened = os.open(directory / "small" / "fills", os.O_WRONLY | os.O_CREAT)

    def fill() -> None:
        for _ in range(64):
            os.write(opened, b"x" * 64 * KIB)

    try:
        expect(errno.ENOSPC, fill)
    finally:
        os.close(opened)
        (directory / "small" / "fills").unlink()


def in_parallel(*works: Callable[[], None]) -> None:
    """Run each in a process of its own; their errnos are counted here."""
    children = []
    for work in works:
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            met.clear()
            work()
            os.write(sending, json.dumps(met).encode())
            os._exit(0)
        os.close(sending)
        children.append((child, receiving))
    for child, receiving in children:
        with os.fdopen(receiving, "rb") as result:
            met.update(json.loads(result.read() or "{}"))
        if os.waitpid(child, 0)[1]:
            raise ChildProcessError("a part of the workload failed")


def main() -> int:
    """Run the workload that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cached", type=Path)
    parser.add_argument("direct", type=Path)
    parser.add_argument("server", type=Path)
    parser.add_argument("--files", type=int, default=200, help="small files in all (200)")
    parser.add_argument("--tag", default="work", help="of the directory names")
    parser.add_argument("--idle-sec", type=float, default=5, help="in which only ECHO happens (5)")
    options = parser.parse_args()
    share = options.files // 4

    in_parallel(
        lambda: small_files(options.cached / f"{options.tag}-0", share, options.server),
        lambda: small_files(options.cached / f"{options.tag}-1", share, options.server),
        lambda: small_files(options.direct / f"{options.tag}-2", share, options.server),
        lambda: small_files(options.direct / f"{options.tag}-3", share, options.server),
    )
    attributes(options.cached / f"{options.tag}-0")
    bulk_cached(options.cached / f"{options.tag}-0")
    bulk_direct(options.direct / f"{options.tag}-2")
    locks(options.direct / f"{options.tag}-2")
    notify(options.direct / f"{options.tag}-3")
    copies(options.direct / f"{options.tag}-2")
    fill_up(options.direct)
    time.sleep(options.idle_sec)
    print(json.dumps({"errors_met": met, "unsupported": unsupported}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
