# SPDX-License-Identifier: MIT
"""The kernel's message buffer, all of it."""

from __future__ import annotations

from aodasync.actions.action import Cost
from aodasync.actions.command import command_action
from aodasync.host.capabilities import Capability

__all__ = ["DMESG"]

DMESG = command_action(
    "dmesg",
    "dmesg.log",
    Cost.LOG,
    ("dmesg", "--decode", "--time-format=iso"),
    capabilities=(Capability.SYSLOG,),
)
