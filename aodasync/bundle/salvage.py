# SPDX-License-Identifier: MIT
"""What an interrupted collection left becomes a bundle, or goes. Blocks.

A collection that was cut off (SIGKILL, power) leaves ``NAME.partial``. As soon as its
first manifest is there, so are the requests in flight and the recorder; with whatever
actions had finished that is a bundle: the manifest is brought up to what is there and
says so. Anything less is removed, and so are half an archive, and a manifest without one.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from typing import Any, Final

from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX, PARTIAL_SUFFIX, BundleName, is_leftover
from aodasync.bundle.events_file import MAX_EVENTS_BYTES, decode
from aodasync.bundle.manifest import dump
from aodasync.bundle.packing import orphans, publish
from aodasync.errors import AodasyncError
from aodasync.host import safe_files

__all__ = ["salvage_leftovers"]

_HALF_SUFFIX: Final = ARCHIVE_SUFFIX + PARTIAL_SUFFIX
_MAX_MANIFEST_BYTES: Final = 16 << 20
# What is not as a collection leaves it may be anything: it is removed, whatever it is.
_NOT_A_BUNDLE: Final = (
    *(AodasyncError, OSError, ValueError, RecursionError),
    *(LookupError, TypeError, AttributeError),
)
_INTERRUPTED: Final = "The agent ended while this bundle was collected: it is not complete."


def salvage_leftovers(batches_fd: int) -> tuple[int, int]:
    """Salvage or remove every leftover below ``batches_fd``; returns how many of each.

    Raises:
        OSError: one can be neither salvaged nor removed.
    """
    with os.scandir(batches_fd) as entries:
        leftovers = [entry.name for entry in entries if is_leftover(entry.name)]
    salvaged = 0
    # Half archives first: the whole one is written under that name.
    for leftover in sorted(leftovers, key=lambda name: not name.endswith(_HALF_SUFFIX)):
        salvaged += _salvage(leftover, batches_fd)
        safe_files.remove(leftover, dir_fd=batches_fd)
    for manifest in orphans(batches_fd):
        with suppress(OSError):  # no reason not to start: the cleaner logs it
            safe_files.remove(manifest, dir_fd=batches_fd)
    return salvaged, len(leftovers) - salvaged


def _salvage(leftover: str, batches_fd: int) -> bool:
    """Whether a bundle could be made of it."""
    name = BundleName.parse(leftover.removesuffix(PARTIAL_SUFFIX))
    if (
        name is None
        or leftover != name.directory
        or safe_files.exists(name.archive, dir_fd=batches_fd)
    ):
        return False  # half an archive, or the whole one was there already
    try:
        directory_fd = safe_files.open_directory(leftover, dir_fd=batches_fd)
    except OSError:
        return False
    try:
        _bring_up_to_date(name, directory_fd)
        publish(
            name,
            batches_fd=batches_fd,
            mtime_sec=name.realtime_ns // 1_000_000_000,
            cancelled=threading.Event(),
        )
    except _NOT_A_BUNDLE:
        safe_files.remove(name.archive + PARTIAL_SUFFIX, dir_fd=batches_fd)
        return False
    finally:
        os.close(directory_fd)
    return True


def _bring_up_to_date(name: BundleName, directory_fd: int) -> None:
    """Let the manifest state what is there; half-written files of ours go.

    Raises:
        ValueError: there is no manifest to begin with, or it is not one.
        RecordingError: ``events.npy`` is not whole.
    """
    sizes = {}
    with os.scandir(directory_fd) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if entry.name.endswith(PARTIAL_SUFFIX) or not stat.S_ISREG(status.st_mode):
                safe_files.remove(entry.name, dir_fd=directory_fd)
            else:
                sizes[entry.name] = status.st_size
    manifest = json.loads(_read("manifest.json", _MAX_MANIFEST_BYTES, directory_fd))
    if not isinstance(manifest, dict) or manifest.get("bundle") != str(name):
        raise ValueError("not this bundle's manifest")
    if manifest.get("salvaged") or "inflight.json" not in sizes:
        raise ValueError("not as a collection leaves it")
    rows = decode(_read("events.npy", MAX_EVENTS_BYTES, directory_fd))
    manifest["events"]["count"] = len(rows)
    manifest["salvaged"] = True
    for action in manifest["actions"]:
        if action["file"] in sizes:
            action["bytes"] = sizes[action["file"]]
            action["error"] = "the agent ended: perhaps not complete"
        else:
            action["file"] = None
    verdict: dict[str, Any] = manifest["verdict"]
    verdict["sentence"] = f"{verdict.get('sentence', '')} {_INTERRUPTED}".strip()
    safe_files.remove("manifest.json", dir_fd=directory_fd)
    safe_files.write("manifest.json", dump(manifest), dir_fd=directory_fd)


def _read(file: str, limit: int, directory_fd: int) -> bytes:
    try:
        descriptor = safe_files.open_regular(file, dir_fd=directory_fd)
    except OSError as error:
        raise ValueError(f"no {file}") from error
    with os.fdopen(descriptor, "rb") as content:
        data = content.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{file} is larger than {limit} bytes")
    return data
