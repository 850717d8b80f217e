# SPDX-License-Identifier: MIT
"""A bundle to give away: the same evidence with other names. Everything blocks."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aodasync import safe_files
from aodasync.bundle.aliases import Aliases
from aodasync.bundle.archive import read_manifest
from aodasync.bundle.manifest import dump
from aodasync.bundle.names import BundleName
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.unpacking import members
from aodasync.errors import BundleError

__all__ = ["anonymise"]

_MOST_FILE_BYTES: Final = 256 << 20
_SUFFIX: Final = "-anonymised"
_PACKETS: Final = "tcpdump.pcap"


def anonymise(path: Path, directory: Path) -> tuple[Path, Path]:
    """Write ``NAME-anonymised.tar.zst`` and, for yourself, ``...map.json`` into a directory.

    Addresses, and names of hosts, users, domains and shares are replaced in every text,
    each by the same one; requests keep their times, ids and process names. Packets are
    left out. The two files are readable by their owner alone.

    Raises:
        BundleError: the bundle cannot be read, or nothing can be written there.
    """
    name = BundleName.parse(path.name)
    if name is None:
        raise BundleError(f"{path}: not a bundle's name", hint="aod_quick_TIME_ANOMALY.tar.zst")
    target = BundleName(name.realtime_ns, f"{name.anomaly[: 64 - len(_SUFFIX)]}{_SUFFIX}")
    aliases = _learn(path)
    try:
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _write(path, target, aliases, directory_fd)
            map_name = f"{target}.map.json"
            safe_files.remove(map_name, dir_fd=directory_fd)
            safe_files.write(map_name, dump(aliases.mapping), dir_fd=directory_fd)
        finally:
            os.close(directory_fd)
    except OSError as error:
        raise BundleError(f"{directory}: {str(error.strerror).lower()}", hint="-o DIR") from error
    return directory / target.archive, directory / map_name


def _learn(path: Path) -> Aliases:
    aliases = Aliases()
    manifest = read_manifest(path)
    host, anomaly = manifest.get("host"), manifest.get("anomaly")
    if isinstance(host, str):
        aliases.host(host)
    if isinstance(anomaly, dict) and isinstance(server := anomaly.get("server"), str):
        aliases.host(server)
    for connection in manifest.get("connections") or []:
        if isinstance(connection, dict) and isinstance(server := connection.get("server"), str):
            aliases.host(server)
    with members(path) as found:
        for member in found:
            if member.name.endswith(".json"):
                for text in _strings(_parse(member.read(_MOST_FILE_BYTES))):
                    aliases.learn(text)
            elif member.name not in ("events.npy", _PACKETS):
                aliases.learn(_text(member.read(_MOST_FILE_BYTES)))
    return aliases


def _write(path: Path, target: BundleName, aliases: Aliases, directory_fd: int) -> None:
    partial = PartialBundle(target, directory_fd)
    partial.create()
    if partial.name != target:
        partial.remove()
        raise BundleError(f"{target.archive} is there already", hint="-o DIR")
    try:
        sizes = {}
        manifest: Any = {}
        with members(path) as found:
            for member in found:
                if member.name == _PACKETS:
                    continue
                data = member.read(_MOST_FILE_BYTES)
                if member.name == "manifest.json":
                    manifest = _renamed(_parse(data), aliases)
                    continue
                if member.name.endswith(".json"):
                    data = dump(_renamed(_parse(data), aliases))
                elif member.name != "events.npy":
                    data = aliases.replace(_text(data)).encode("utf-8", "surrogateescape")
                sizes[member.name] = len(data)
                partial.write(member.name, data)
        for action in manifest.get("actions") or []:
            if isinstance(action, dict):
                _bring_up_to_date(action, sizes)
        partial.write(
            "manifest.json", dump({**manifest, "bundle": str(target), "anonymised": True})
        )
        mtime_sec = target.realtime_ns // 1_000_000_000
        never = threading.Event()
        pack(target, batches_fd=directory_fd, mtime_sec=mtime_sec, cancelled=never)
    finally:
        partial.remove()


def _bring_up_to_date(action: dict[str, Any], sizes: Mapping[str, int]) -> None:
    if action.get("file") in sizes:
        action["bytes"] = sizes[action["file"]]
    elif action.get("file") == _PACKETS:
        action.update(file=None, bytes=0, error="left out: packets hold addresses and names")


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


# Values that are names of the program's own; a host may be called like one of them.
_OWN_KEYS: Final = frozenset(["file", "name", "type", "cause", "command", "commands", "codes"])
_OWN_PARTS: Final = frozenset(["events", "probe", "agent", "configured"])


def _renamed(value: Any, aliases: Aliases) -> Any:
    """JSON with its strings replaced; keys, and the program's own names, stay."""
    if isinstance(value, str):
        return aliases.replace(value)
    if isinstance(value, list):
        return [_renamed(item, aliases) for item in value]
    if isinstance(value, dict):
        kept = _OWN_KEYS | _OWN_PARTS
        return {k: v if k in kept else _renamed(v, aliases) for k, v in value.items()}
    return value
