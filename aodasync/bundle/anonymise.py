# SPDX-License-Identifier: MIT
"""A bundle to give away: the same evidence with other names. Everything blocks."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aodasync.bundle.archive import read_manifest
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.manifest import dump
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.renaming import file_names, items, renamed, strings
from aodasync.bundle.text_budget import TextBudget, TooMuchTextError
from aodasync.bundle.unpacking import Member, members
from aodasync.captures import PRIVATE_FILES
from aodasync.errors import BundleError, NotPermittedError
from aodasync.host import safe_files
from aodasync.host.untrusted_json import parse_json
from aodasync.privacy.aliases import Aliases

__all__ = ["anonymise"]

_MOST_FILE_BYTES: Final = 256 << 20
_TOO_MUCH: Final = "more text than an archive of this size usually holds"
_SUFFIX: Final = "-anonymised"
_STATE_DIR: Final = Path("/var/lib/aodasync")  # as the unit's StateDirectory=


def anonymise(path: Path, directory: Path, keep_in: Path | None = None) -> tuple[Path, Path]:
    """Write ``NAME-anonymised.tar.zst`` into a directory, and which name is which elsewhere.

    Addresses, and names of hosts, users, domains, shares and of the files of requests are
    replaced in every text, each by the same one; requests keep their times, ids and process
    names. Packets are left out. The map (``NAME-anonymised.map.json``) is for whoever keeps
    the original: it goes into ``keep_in``, by default the agent's or the caller's state
    directory, and not beside what is sent. The two files are readable by their owner alone.

    Returns:
        The archive to send, and the map to keep.

    Raises:
        BundleError: the bundle cannot be read, or nothing can be written there.
    """
    manifest = read_manifest(path)
    name = _name_of(path, manifest)
    target = BundleName(name.realtime_ns, f"{name.anomaly[: 64 - len(_SUFFIX)]}{_SUFFIX}")
    budget = TextBudget(path)
    aliases = Aliases(budget.check)
    learnt = _learn(path, manifest, aliases, budget)
    keep_in = keep_in or _map_directory()
    with _opened(keep_in, "") as keep_fd, _opened(directory, "-o DIR") as directory_fd:
        _write(path, target, aliases, learnt, directory_fd)
        map_name = f"{target}.map.json"
        safe_files.remove(map_name, dir_fd=keep_fd)
        safe_files.write(map_name, dump(aliases.mapping), dir_fd=keep_fd)
    return directory / target.archive, keep_in / map_name


def _name_of(path: Path, manifest: dict[str, Any]) -> BundleName:
    """The bundle's name: as its manifest has it, for the file may have been renamed."""
    name = BundleName.parse(str(manifest.get("bundle"))) or BundleName.parse(path.name)
    if name is None:
        raise BundleError(
            f"{path}: neither its name nor its manifest names a bundle",
            hint="aod_quick_TIME_ANOMALY.tar.zst",
        )
    return name


def _map_directory() -> Path:
    """Where maps are kept: root's with the agent's state, others' with theirs."""
    if os.geteuid() == 0:
        directory = _STATE_DIR / "maps"
    else:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        directory = Path(state) / "aodasync" / "maps"
    try:
        for each in (directory.parent, directory):  # what is above it gets no mode of ours
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except PermissionError as error:
        hint = "name a directory of yours in XDG_STATE_HOME"
        raise NotPermittedError(f"{directory}: permission denied", hint=hint) from error
    except OSError as error:
        raise BundleError(f"{directory}: {str(error.strerror).lower()}") from error
    return directory


@contextmanager
def _opened(directory: Path, hint: str) -> Iterator[int]:
    """The directory's descriptor; what fails in it is one error of one line."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        kind = NotPermittedError if isinstance(error, PermissionError) else BundleError
        raise kind(f"{directory}: {str(error.strerror).lower()}", hint=hint) from error


def _learn(path: Path, manifest: dict[str, Any], aliases: Aliases, budget: TextBudget) -> set[str]:
    """Gather the names that texts show; returns the files of which all are known."""
    learnt = set()
    for key in ("kernel", "cifs", "agent"):
        for version in strings(manifest.get(key)):
            aliases.keep(version)
    holders = [manifest.get("anomaly"), *items(manifest.get("connections"))]
    servers = [holder.get("server") for holder in holders if isinstance(holder, dict)]
    for host in (manifest.get("host"), *servers):
        if isinstance(host, str):
            aliases.host(host)
    with members(path) as found:
        for member in found:
            if member.name in ("events.npy", *PRIVATE_FILES):
                continue
            data = member.read(_MOST_FILE_BYTES)
            with contextlib.suppress(TooMuchTextError):
                budget.take(len(data))
                _learn_from(member.name, data, aliases)
                learnt.add(member.name)
    budget.learnt()
    return learnt


def _learn_from(name: str, data: bytes, aliases: Aliases) -> None:
    value = _parse(name, data)
    for text in strings(value) if name.endswith(".json") else [_text(data)]:
        aliases.learn(text)
    for file in file_names(value):
        aliases.file(file)


def _write(
    path: Path, target: BundleName, aliases: Aliases, learnt: set[str], directory_fd: int
) -> None:
    partial = PartialBundle(target, directory_fd)
    partial.create()
    if partial.name != target:
        partial.remove()
        raise BundleError(f"{target.archive} is there already", hint="-o DIR")
    try:
        sizes = {}
        left_out = dict(PRIVATE_FILES)
        manifest: dict[str, Any] = {}
        with members(path) as found:
            for member in found:
                if member.name in PRIVATE_FILES:
                    continue
                data = _content(member, aliases, learnt)
                if data is None:
                    left_out[member.name] = _TOO_MUCH
                elif member.name == "manifest.json":
                    manifest = parse_json(data)
                else:
                    sizes[member.name] = len(data)
                    partial.write(member.name, data)
        if not manifest:
            raise BundleError(f"{path}: manifest.json holds {_TOO_MUCH}")
        for action in items(manifest.get("actions")):
            if isinstance(action, dict):
                _bring_up_to_date(action, sizes, left_out)
        partial.write(
            "manifest.json", dump({**manifest, "bundle": str(target), "anonymised": True})
        )
        mtime_sec = target.realtime_ns // 1_000_000_000
        never = threading.Event()
        pack(target, batches_fd=directory_fd, mtime_sec=mtime_sec, cancelled=never)
    finally:
        partial.remove()


def _content(member: Member, aliases: Aliases, learnt: set[str]) -> bytes | None:
    """What is written of a file; None for one that is left out."""
    data = member.read(_MOST_FILE_BYTES)
    if member.name == "events.npy":
        return data
    try:
        return _anonymised(member.name, data, aliases) if member.name in learnt else None
    except TooMuchTextError:
        return None


def _anonymised(name: str, data: bytes, aliases: Aliases) -> bytes:
    value = _parse(name, data)
    if value is not None:
        return dump(renamed(value, aliases))
    if name.endswith(".json"):
        return b"[]\n"  # not as we write them: nothing of it can be vouched for
    return aliases.replace(_text(data)).encode("utf-8", "surrogateescape")


def _bring_up_to_date(
    action: dict[str, Any], sizes: Mapping[str, int], left_out: Mapping[str, str]
) -> None:
    file = action.get("file")
    if not isinstance(file, str):
        return
    if file in sizes:
        action["bytes"] = sizes[file]
    elif (why := left_out.get(file)) is not None:
        action.update(file=None, bytes=0, error=f"left out: {why}")


def _parse(name: str, data: bytes) -> Any:
    """A JSON file's value; None for any other file, or if it is not JSON of ours."""
    if not name.endswith(".json"):
        return None
    try:
        return parse_json(data)
    except ValueError:
        return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
