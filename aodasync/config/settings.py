# SPDX-License-Identifier: MIT
"""Every setting there is, declared once: key, kind and bounds, default, help.

The validator, the defaults and the JSON Schema are made from these tables, and a
test holds the shipped file to them. Defaults that the model has are taken from it.
"""

from __future__ import annotations

from typing import Final

from aodasync.config.anomaly_settings import ACTION, ANOMALY, DEFAULT_ACTIONS
from aodasync.config.kinds import AbsolutePath, Flag, Number, ScalarKind, Text
from aodasync.config.model import CAPTURES, Audit, Cleanup, Collector, Recorder
from aodasync.config.names import Choice
from aodasync.config.section import ListOf, MapOf, Section, Setting

__all__ = ["TOP", "USER_ACTION"]

_DAY_SEC: Final = 86_400
_TEN_TB_IN_MB: Final = 10_000_000


def _limits(model: object, *settings: tuple[str, ScalarKind, str]) -> Section:
    """A section whose defaults are those of ``model``."""
    return Section(
        tuple(Setting(key, kind, text, getattr(model, key)) for key, kind, text in settings)
    )


USER_ACTION: Final = Section(
    (
        Setting(
            "command",
            ListOf(Text(), at_least=1),
            "Program and arguments, one item each; no shell sees them.",
            required=True,
        ),
        Setting(
            "timeout_sec",
            Number(0.1, 600),
            "It is ended after so long. Without it: collector.action_timeout_sec.",
        ),
    )
)

_COLLECTOR: Final = _limits(
    Collector(),
    ("max_concurrent", Number(1, 64, whole=True), "Actions that run at the same time."),
    ("action_timeout_sec", Number(0.1, 600), "An action is ended after so long."),
    (
        "max_action_bytes",
        Number(4096, 1 << 30, whole=True),
        "Of an action's output, the last so many bytes are kept.",
    ),
    ("look_back_sec", Number(0, _DAY_SEC), "Logs are collected from so long before the anomaly."),
    (
        "max_bundles_per_hour",
        Number(1, 3600, whole=True),
        "More anomalies than that are logged, but give no bundle.",
    ),
    (
        "tcpdump_mb",
        Number(4, 256, whole=True),
        "Of the packets that tcpdump captures, the last so many megabytes are kept.",
    ),
    (
        "tcpdump_packet_bytes",
        Number(96, 262_144, whole=True),
        "Of each packet the first so many bytes. Beyond 160 come names and file contents.",
    ),
)

_RECORDER: Final = _limits(
    Recorder(),
    (
        "max_events",
        Number(1000, 10_000_000, whole=True),
        "Requests that are remembered (96 bytes of memory each), and saved in a bundle.",
    ),
    (
        "ring_bytes",
        Number(4096, 1 << 30, whole=True),
        "Of the ring between kernel and agent, rounded up to a power of two: 104 a request.",
    ),
)

_CLEANUP: Final = _limits(
    Cleanup(),
    ("cleanup_interval_sec", Number(0.1, _DAY_SEC), "Time from one clean-up to the next."),
    ("max_log_age_days", Number(0.001, 3650), "Older bundles are deleted."),
    (
        "max_total_log_size_mb",
        Number(
            0.001,
            _TEN_TB_IN_MB,
            advised=20,
            remark="under 20 MB bundles are cut short; 200 is a good size",
        ),
        "Over it the oldest bundles are deleted, and under 20 new ones are cut short.",
    ),
    (
        "min_free_mb",
        Number(0, _TEN_TB_IN_MB),
        "So much of the file system is left free, if need be by deleting bundles.",
    ),
)

_AUDIT: Final = _limits(Audit(), ("enabled", Flag(), "Anomalies are told to syslog as well."))

TOP: Final = Section(
    (
        Setting(
            "watch_interval_sec",
            Number(0.01, 3600),
            "Length of the windows in which slow and failed requests are counted.",
            1.0,
        ),
        Setting("aod_output_dir", AbsolutePath(), "Where bundles are written.", "/var/log/aod"),
        Setting(
            "watcher",
            Section(
                (
                    Setting(
                        "actions",
                        ListOf(ACTION),
                        f"Actions of anomalies that name none. Without it: "
                        f"{', '.join(DEFAULT_ACTIONS)}.",
                    ),
                    Setting(
                        "captures",
                        ListOf(Choice(CAPTURES)),
                        "What is recorded all the time, the last of it for every bundle: packets "
                        "of port 445 (tcpdump), trace events of the client (trace-cmd).",
                        (),
                    ),
                )
            ),
            "What is collected unless an anomaly says otherwise.",
        ),
        Setting(
            "guardian",
            Section((Setting("anomalies", MapOf(ANOMALY), "Anomalies by name.", {}),)),
            "What is looked for. latency and error are on when named; "
            "hang, connection and drift unless turned off.",
        ),
        Setting("collector", _COLLECTOR, "Limits of what is collected."),
        Setting("recorder", _RECORDER, "The flight recorder."),
        Setting("cleanup", _CLEANUP, "How long bundles are kept."),
        Setting("audit", _AUDIT, "Syslog."),
        Setting("actions", MapOf(USER_ACTION), "Actions of your own, by name.", {}),
    )
)
"""The whole file."""
