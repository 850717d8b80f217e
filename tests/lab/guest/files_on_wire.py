# SPDX-License-Identifier: MIT
"""Files of a capture: the name in each CREATE, the id in every other request that has one."""

from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

__all__ = ["ALL_ONES", "CREATE", "FilesOnWire", "files_on_wire"]

FileId: TypeAlias = tuple[int, int]
Request: TypeAlias = tuple[int, int]
"""Message id and command: the capture is of one connection."""

ALL_ONES: FileId = ((1 << 64) - 1,) * 2
CREATE, IOCTL = 5, 11
_WITH_ID = {6, 7, 8, 9, 10, 11, 14, 15, 16, 17}
_FIELDS = (
    *("smb2.cmd", "smb2.msg_id", "smb2.flags.response", "smb2.nt_status"),
    "smb2.flags.chained",
)
_OF_FILES = ("smb2.filename", "smb2.fid")
_FALSE = ("0", "False")


@dataclass(slots=True)
class FilesOnWire:
    """Names of CREATE requests, ids in requests, and those that CREATE responses gave."""

    names: dict[int, str] = field(default_factory=dict)
    ids: dict[Request, FileId] = field(default_factory=dict)
    created: dict[int, FileId] = field(default_factory=dict)
    create_of: dict[int, int] = field(default_factory=dict)
    """The message id of the CREATE before each related request (a later part of a compound)."""
    answered: set[int] = field(default_factory=set)
    """The message ids of the CREATEs whose response is known."""


def files_on_wire(file: Path) -> FilesOnWire:
    """Read a capture; a frame of several PDUs is a compound, whose values stand in their order.

    What tshark does not say whose it is, of a frame with two CREATEs, is left out.
    """
    argv = ["tshark", "-r", str(file), "-n", "-Y", "smb2.cmd", "-T", "fields", "-E", "separator=|"]
    argv += ["-o", "tcp.desegment_tcp_streams:TRUE", "-o", "tcp.reassemble_out_of_order:TRUE"]
    for name in (*_FIELDS, *_OF_FILES):
        argv += ["-e", name]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    found = FilesOnWire()
    for line in done.stdout.splitlines():
        commands, messages, responses, statuses, related, names, ids = (
            column.split(",") for column in line.split("|")
        )
        parts = [(int(m), int(c)) for m, c in zip(messages, commands, strict=True)]
        if responses[0] in _FALSE:
            _take_requests(found, parts, related, names, ids)
        else:
            _take_responses(found, parts, statuses, ids)
    return found


def _take_requests(
    found: FilesOnWire,
    parts: list[Request],
    related: list[str],
    names: list[str],
    ids: list[str],
) -> None:
    with_id = [part for part in parts if part[1] in _WITH_ID]
    for part, text in zip(with_id, ids if with_id else [], strict=True):
        found.ids[part] = _file_id(text)
    creates = [message for message, command in parts if command == CREATE]
    if len(creates) == 1:
        found.names[creates[0]] = names[0].replace("\\\\", "\\")  # as tshark escapes it
    create = 0
    for (message, command), is_related in zip(parts, related, strict=True):
        if command == CREATE:
            create = message
        elif create and is_related not in _FALSE:
            found.create_of[message] = create


def _take_responses(
    found: FilesOnWire, parts: list[Request], statuses: list[str], ids: list[str]
) -> None:
    """In responses, those of CREATE and IOCTL alone have an id."""
    if any(command == IOCTL for _, command in parts):
        return
    creates = [
        (message, int(status, 0) == 0)
        for (message, command), status in zip(parts, statuses, strict=True)
        if command == CREATE
    ]
    made = [message for message, succeeded in creates if succeeded]
    for message, text in zip(made, ids if made else [], strict=True):
        found.created[message] = _file_id(text)
    found.answered.update(message for message, _ in creates)


def _file_id(text: str) -> FileId:
    raw = uuid.UUID(text).bytes_le
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
