# SPDX-License-Identifier: MIT
"""The trees of a capture: which share each TREE_CONNECT got which tree id for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

__all__ = ["trees_on_wire"]

_FIELDS = ("tcp.stream", "smb2.msg_id", "smb2.flags.response", "smb2.nt_status", "smb2.tree")
_IDS = ("smb2.sesid", "smb2.tid")


def trees_on_wire(file: Path) -> dict[tuple[int, int], str]:
    """Shares, ``//server/share``, by session id and tree id of the successful responses."""
    argv = ["tshark", "-r", str(file), "-n", "-Y", "smb2.cmd == 3", "-T", "fields"]
    argv += ["-E", "separator=|", "-E", "occurrence=f"]
    for name in (*_FIELDS, *_IDS):
        argv += ["-e", name]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    asked: dict[tuple[str, str], str] = {}
    trees = {}
    for line in done.stdout.splitlines():
        stream, message, response, status, tree, session, tree_id = line.split("|")
        if response in ("0", "False"):
            parts = re.split(r"[\\/]+", tree)
            asked[stream, message] = "//" + "/".join(part for part in parts if part)
        elif int(status, 0) == 0:
            trees[int(session, 0), int(tree_id, 0)] = asked[stream, message]
    return trees
