# SPDX-License-Identifier: MIT
"""The client's tracepoints smb3_cmd_*, where its functions cannot be probed.

They need no types: tracefs describes the record that each of them fills, and a
program gets that record. So they serve kernels without a module's BTF (before
5.11), and kernels whose client has changed beyond what we know.
"""

from __future__ import annotations

import re
from pathlib import Path

from .functions import Candidate, Choice, Target
from .members import LayoutProblemError

__all__ = ["LIMITS", "command_targets"]

LIMITS = (
    "fallback: requests come from the client's tracepoints alone",
    "fallback: not seen are ECHO, and what is cut off, cancelled or torn down",
    "fallback: not seen are the later parts of a compound that fails",
    "fallback: server, share, file, sent_ns and received_ns are not known",
    "fallback: in flight is only what began after the last reconnect of any connection",
    "fallback: operations are not followed, so what waits without a request is not seen",
    "fallback: the channels of a session may be taken for each other",
)
"""What this way of looking cannot see."""

# Prefix in the C side, program, tracepoint.
_ENDS = (
    ("DONE", "command_done", "smb3_cmd_done"),
    ("ERR", "command_err", "smb3_cmd_err"),
)
_BEGINNING = ("ENTER", "command_enter", "smb3_cmd_enter")
_FIELDS = {"tid": 4, "sesid": 8, "cmd": 2, "mid": 8}
_STATUS = {"status": 4}
_RECONNECT = "smb3_reconnect"
_FIELD = re.compile(r"^\tfield:.*?(\w+);\toffset:(\d+);\tsize:(\d+);", re.MULTILINE)


def command_targets(tracefs: Path) -> Choice:
    """Ends first, then the beginning. Raises :class:`LayoutProblemError`."""
    definitions: dict[str, int] = {}
    targets, tried = [], []
    for prefix, program, tracepoint in (*_ENDS, _BEGINNING):
        wanted = _FIELDS | _STATUS if prefix == "ERR" else _FIELDS
        definitions.update(_offsets(tracefs, tracepoint, prefix, wanted))
        role = "alloc" if prefix == "ENTER" else "release"
        targets.append(Target(role, program, f"cifs/{tracepoint}", "tracepoint", 0))
        tried.append(Candidate(role, f"cifs/{tracepoint}", chosen=True, why="described by tracefs"))
    if _event(tracefs, _RECONNECT).is_dir():
        reconnect = Target("reconnect", "command_reconnect", f"cifs/{_RECONNECT}", "tracepoint", 0)
        targets.insert(0, reconnect)
    return Choice(targets, definitions, tried)


def _event(tracefs: Path, tracepoint: str) -> Path:
    return tracefs / "events" / "cifs" / tracepoint


def _offsets(tracefs: Path, tracepoint: str, prefix: str, wanted: dict[str, int]) -> dict[str, int]:
    try:
        text = (_event(tracefs, tracepoint) / "format").read_text()
    except OSError as error:
        raise LayoutProblemError(f"{error.filename}: {error.strerror}") from error
    fields = {name: (int(at), int(size)) for name, at, size in _FIELD.findall(text)}
    for name, size in wanted.items():
        if fields.get(name, (0, 0))[1] != size:
            raise LayoutProblemError(f"{tracepoint} has no field {name} of {size} bytes")
    return {f"{prefix}_{name}": fields[name][0] for name in wanted}
