# SPDX-License-Identifier: MIT
"""What ``--help`` shows of each command: lines that can be typed as they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["EXAMPLES"]

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "run": (
            "sudo aodasync                          with the configuration in /etc/aodasync",
            "sudo aodasync --config my.yaml         with this file alone",
        ),
        "check-config": (
            "aodasync check-config                  what the agent would use",
            "aodasync check-config --changed        of it, what differs from the defaults",
            "aodasync check-config --strict FILE    before it is installed",
        ),
        "replay": (
            "aodasync replay                        the packaged recording",
            "aodasync replay BUNDLE --config FILE   would these thresholds find it?",
        ),
        "doctor": ("sudo aodasync doctor",),
        "status": (
            "sudo aodasync status                   on one screen",
            "sudo aodasync status nas1              what concerns this server",
        ),
        "top": (
            "sudo aodasync top                      until q or Ctrl-C",
            "sudo aodasync top -d 10 --by process   every 10 s, processes alone",
            "sudo aodasync top --once               for a script",
        ),
        "slow": (
            "sudo aodasync slow 100                 each request of 100 ms or more",
            "sudo aodasync slow --errors --server nas1",
            "sudo aodasync slow 50 --command WRITE --seconds 60",
        ),
        "inflight": (
            "sudo aodasync inflight                 all, the oldest first",
            "sudo aodasync inflight 5000            those that wait for 5 s or longer",
        ),
        "why": (
            "sudo aodasync why                      the open or newest episode",
            "sudo aodasync why 7                    the seventh one of this boot",
            "aodasync why case123.tar.zst           that of a bundle, wherever it lies",
        ),
        "history": (
            "sudo aodasync history --since 24h",
            "sudo aodasync history --server nas1 --since 7d",
        ),
        "suggest": ("sudo aodasync suggest --since 7d",),
        "metrics": ("sudo aodasync metrics | grep aodasync_",),
        "check": ("sudo aodasync check; echo $?",),
        "snapshot": ("sudo aodasync snapshot && sudo aodasync bundles show",),
        "bundles": (
            "sudo aodasync bundles                  what is there",
            "sudo aodasync bundles show             what the newest one says",
            "sudo aodasync bundles verify",
        ),
        "bundles ls": (
            "sudo aodasync bundles ls -n 5",
            "sudo aodasync bundles ls --since 12h --server nas1",
        ),
        "bundles show": (
            "sudo aodasync bundles show             the newest one",
            "sudo aodasync bundles show 17959       the one whose digits begin so",
            "aodasync bundles show case123.tar.zst --all",
        ),
        "bundles events": (
            "sudo aodasync bundles events --slower 100",
            "aodasync bundles events BUNDLE --csv > events.csv",
            "aodasync bundles events BUNDLE --parquet events.parquet",
        ),
        "bundles diff": ("aodasync bundles diff before.tar.zst after.tar.zst",),
        "bundles verify": ("sudo aodasync bundles verify           all of them",),
        "bundles anonymise": (
            "sudo aodasync bundles anonymise -o /tmp",
            "aodasync bundles anonymise case123.tar.zst",
        ),
        "report": (
            "sudo aodasync report                   the newest one, into this directory",
            "aodasync report case123.tar.zst -o /tmp",
            "sudo aodasync report --all -o pages    every one, with an index",
        ),
        "probe": (
            "sudo aodasync probe export host.probe  here, where bcc is",
            "sudo aodasync probe import host.probe  there",
        ),
        "schema": ("aodasync schema manifest",),
    }
)
"""By command, or command and action."""
