# SPDX-License-Identifier: MIT
"""/proc/fs/cifs/DebugData: connections, sessions, shares and requests as the kernel has them.

Read last, once, by a child that may be left behind: before "smb: client: fix
potential deadlock when releasing mids" (v6.6) the reader could deadlock with
cifsd over ``cifs_tcp_ses_lock``, and then never comes back.
"""

from __future__ import annotations

from aodasync.actions.action import Cost
from aodasync.actions.command import kernel_table

__all__ = ["DEBUGDATA"]

DEBUGDATA = kernel_table("debugdata", "debug_data.log", "/proc/fs/cifs/DebugData", Cost.GUARDED)
