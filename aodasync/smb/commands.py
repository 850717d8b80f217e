# SPDX-License-Identifier: MIT
"""SMB2 command codes and names (MS-SMB2 2.2.1.2)."""

from __future__ import annotations

from typing import Final

__all__ = ["COMMANDS", "COMMAND_CODES", "MAY_WAIT_FOREVER", "SMB_PORT", "command_name"]

SMB_PORT: Final = 445
"""TCP port of servers, unless a mount says otherwise (IANA: microsoft-ds)."""

COMMANDS: Final = (
    "SMB2_NEGOTIATE",
    "SMB2_SESSION_SETUP",
    "SMB2_LOGOFF",
    "SMB2_TREE_CONNECT",
    "SMB2_TREE_DISCONNECT",
    "SMB2_CREATE",
    "SMB2_CLOSE",
    "SMB2_FLUSH",
    "SMB2_READ",
    "SMB2_WRITE",
    "SMB2_LOCK",
    "SMB2_IOCTL",
    "SMB2_CANCEL",
    "SMB2_ECHO",
    "SMB2_QUERY_DIRECTORY",
    "SMB2_CHANGE_NOTIFY",
    "SMB2_QUERY_INFO",
    "SMB2_SET_INFO",
    "SMB2_OPLOCK_BREAK",
    "SMB2_SERVER_TO_CLIENT_NOTIFICATION",
)
"""Names by code."""

COMMAND_CODES: Final = {name: code for code, name in enumerate(COMMANDS)}

MAY_WAIT_FOREVER: Final = frozenset({"SMB2_CHANGE_NOTIFY", "SMB2_LOCK"})
"""Commands whose response the server may hold back at will."""


def command_name(code: int) -> str:
    """The name of a command code; unknown ones as ``SMB2_0x00ff``."""
    return COMMANDS[code] if 0 <= code < len(COMMANDS) else f"SMB2_0x{code:04x}"
