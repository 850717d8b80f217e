# SPDX-License-Identifier: MIT
"""/proc/fs/cifs/Stats: totals a command, slow responses, reconnects.

Opened for reading alone: a write resets it. Read by a child, since
``cifs_stats_proc_show`` walks the servers under the spinlock
``cifs_tcp_ses_lock``, the one over which DebugData could deadlock.
"""

from __future__ import annotations

from aodasync.actions.action import Cost
from aodasync.actions.command import command_action

__all__ = ["STATS"]

STATS = command_action("stats", "cifsstats.log", Cost.TABLE, ("cat", "/proc/fs/cifs/Stats"))
