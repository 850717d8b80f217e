# SPDX-License-Identifier: MIT
"""Every setting there is, declared once: key, kind and bounds, default, help.

The validator, the defaults and the JSON Schema are made from these tables, and a
test holds the shipped file to them. Defaults that the model has are taken from it.
"""

from __future__ import annotations

from typing import Any, Final

from aodasync.captures import CAPTURES
from aodasync.config.actions import DEFAULT_ACTIONS, USER_ACTION, action_name
from aodasync.config.anomalies import ANOMALY_TYPES
from aodasync.config.aodv2 import Anomalies, definitions
from aodasync.config.guardian import NamedAnomalies, any_anomaly, on_by_default
from aodasync.config.kinds import AbsolutePath, Choice, Flag, Number, Program, ScalarKind, Text
from aodasync.config.model import Audit, Cleanup, Collector, Control, Metrics, Recorder
from aodasync.config.names import CODE, COMMAND
from aodasync.config.section import ListOf, MapOf, Section, Setting

__all__ = ["COLLECTOR", "schema", "top"]

_DAY_SEC: Final = 86_400
_TEN_TB_IN_MB: Final = 10_000_000


def _limits(model: object, *settings: tuple[str, ScalarKind, str]) -> Section:
    """A section whose defaults are those of ``model``."""
    return Section(
        tuple(Setting(key, kind, text, getattr(model, key)) for key, kind, text in settings)
    )


COLLECTOR: Final = _limits(
    Collector(),
    ("max_concurrent", Number(1, 64, whole=True), "Actions that run at the same time."),
    ("action_timeout_sec", Number(0.1, 600), "An action is ended after so long."),
    (
        "max_action_bytes",
        Number(4096, 1 << 30, whole=True),
        "So much of an action's output is kept; the manifest says what was cut.",
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
        Number(1000, 1_000_000, whole=True),
        "Requests that are remembered (96 bytes of memory each), and saved in a bundle.",
    ),
    (
        "ring_bytes",
        Number(4096, 1 << 30, whole=True),
        "Of the ring between kernel and agent, rounded up to a power of two: 120 a request.",
    ),
    (
        "file_names",
        Flag(),
        "Which file a request is about is noted, and its name is saved in bundles.",
    ),
)

_CLEANUP: Final = _limits(
    Cleanup(),
    ("cleanup_interval_sec", Number(0.1, _DAY_SEC), "Time from one clean-up to the next."),
    (
        "max_log_age_days",
        Number(0.001, 3650),
        "Older bundles are deleted, but for the newest of each anomaly.",
    ),
    (
        "max_total_log_size_mb",
        Number(
            0.001,
            _TEN_TB_IN_MB,
            advised=20,
            consequence="bundles are cut short; 200 is a good size",
        ),
        "Over it the least important and oldest bundles go; under 20 new ones are cut short.",
    ),
    (
        "min_free_mb",
        Number(0, _TEN_TB_IN_MB),
        "So much of the file system is left free, if need be by deleting bundles.",
    ),
)

_HOOK: Final = ListOf(Text(), first=Program())

_AUDIT: Final = _limits(Audit(), ("enabled", Flag(), "Anomalies are written to syslog as well."))

_METRICS: Final = _limits(
    Metrics(),
    (
        "textfile",
        AbsolutePath(or_empty=True, ending=".prom", consequence="node_exporter reads no others"),
        "A file for node_exporter's textfile collector, written every 15 s: NAME.prom.",
    ),
)


_CONTROL: Final = _limits(
    Control(),
    (
        "group",
        Text(),
        "A group whose members may read what is live (top, slow, inflight, status, metrics).",
    ),
)


def top() -> Section:
    """The whole file. Derived when used: types of anomalies and actions are tables."""
    named = [name for name, type_ in ANOMALY_TYPES.items() if not type_.on_by_default]
    return Section(
        (
            Setting(
                "watch_interval_sec",
                Number(0.01, 3600),
                "Length of the windows in which slow and failed requests are counted.",
                1.0,
            ),
            Setting("aod_output_dir", AbsolutePath(), "Where bundles are written.", "/var/log/aod"),
            Setting("watcher", _watcher(), "What is collected unless an anomaly says otherwise."),
            Setting(
                "guardian",
                Section(
                    (Setting("anomalies", NamedAnomalies(any_anomaly()), "Anomalies by name.", {}),)
                ),
                f"What is looked for. On when named: {', '.join(named)}. "
                f"On unless turned off: {', '.join(on_by_default())}.",
            ),
            Setting("anomalies", Anomalies(), "AODv2's newer format, in place of guardian."),
            Setting("collector", COLLECTOR, "Limits of what is collected."),
            Setting("recorder", _RECORDER, "The flight recorder."),
            Setting("cleanup", _CLEANUP, "How long bundles are kept."),
            Setting("audit", _AUDIT, "Syslog."),
            Setting("metrics", _METRICS, "Metrics for Prometheus."),
            Setting("control", _CONTROL, "Who besides root may look at the running agent."),
            Setting(
                "on_bundle",
                _HOOK,
                "A command that is run for each bundle, with BUNDLE, ANOMALY, SERVER, CAUSE and "
                "SENTENCE in its environment; no shell sees it.",
                (),
            ),
            Setting(
                "on_episode",
                _HOOK,
                "Likewise, when an episode begins, with ANOMALY and SERVER.",
                (),
            ),
            Setting("actions", MapOf(USER_ACTION), "Actions of your own, by name.", {}),
        )
    )


def _watcher() -> Section:
    return Section(
        (
            Setting(
                "actions",
                ListOf(action_name()),
                f"Actions of anomalies that name none. Without it: {', '.join(DEFAULT_ACTIONS)}.",
            ),
            Setting(
                "captures",
                ListOf(Choice(tuple(CAPTURES))),
                "What is recorded all the time, the last of it for every bundle: packets "
                "of port 445 (tcpdump), trace events of the client (trace-cmd).",
                (),
            ),
        )
    )


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of the file after YAML anchors and merges are resolved.

    It knows keys, types, bounds and names. What spans several settings (a code that is
    both tracked and excluded) only ``check-config`` knows.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "aodasync configuration",
        **top().schema(),
        "type": "object",
        "not": {"required": ["guardian", "anomalies"]},
        "$defs": {
            name.label: name.definition() for name in (action_name(), CODE, COMMAND, *definitions())
        },
    }
