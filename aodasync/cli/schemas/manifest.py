# SPDX-License-Identifier: MIT
"""``manifest.json``, version 2."""

from __future__ import annotations

from typing import Final

from aodasync.bundle.manifest import SCHEMA_VERSION
from aodasync.cli.schemas.pieces import (
    COUNT,
    COUNTS,
    FLAG,
    MONOTONIC,
    REALTIME,
    TEXT,
    TEXTS,
    by_name,
    of,
    or_null,
    record,
    several,
)

__all__ = ["MANIFEST"]

_SUFFERER: Final = record(
    name=TEXT,
    pid=of("integer", "of a process; otherwise 0"),
    requests=COUNT,
    slow_ms=of("number", "the time that they took, together"),
    share_of_time=of("number", "the part, 0 to 1, of the time that all took"),
)
_WHO: Final = record(
    "Who waited, the ten of each kind that waited longest.",
    processes=several(_SUFFERER),
    shares=several(_SUFFERER),
    commands=several(_SUFFERER),
    files=several(_SUFFERER),
)
_VERDICT: Final = record(
    "The likely cause.",
    cause={"enum": ["server", "network", "client", "credentials", "unknown"]},
    confidence={"enum": ["high", "medium", "low"]},
    sentence=TEXT,
    rule=of("string", "the rule that held"),
    refuted_by=of("string", "what would speak against it"),
    evidence=of("object", "the figures that it rests on, by name"),
    next=several(TEXT, "what to do next: commands to run"),
)
_MOUNT: Final = record(
    "An SMB mount, as it was.",
    ("username",),
    mount_point=TEXT,
    source=TEXT,
    server=TEXT,
    usable=FLAG,
    since_ns=of("integer", "CLOCK_MONOTONIC in ns; 0 while it is usable"),
    why=TEXT,
    username=of("string", "the user name in its options"),
)
_EPISODE: Final = record(
    "The episode that the bundle is of; null for a snapshot on request.",
    number=COUNT,
    open=of("boolean", "whether it went on when the bundle was ordered"),
    began_monotonic_ns=MONOTONIC,
    began_realtime_ns=REALTIME,
    ended_monotonic_ns=of("integer|null", "CLOCK_MONOTONIC in ns; null while it is open"),
    ended_realtime_ns=of("integer|null", "CLOCK_REALTIME in ns since 1970"),
    worst_ms=of("number|null", "the slowest request of it"),
    usual_ms=of("number|null", "as it usually is: learnt, or the median before it began"),
)
_ACTION: Final = record(
    "One piece of evidence, and how its collection ended.",
    ("argv", "path"),
    name=TEXT,
    file=of("string|null", "its file in the bundle"),
    argv=TEXTS,
    path=TEXT,
    exit_code=of("integer|null"),
    duration_ms=of("number|null"),
    bytes=COUNT,
    truncated=FLAG,
    timed_out=FLAG,
    error=of("string|null"),
)
MANIFEST: Final = record(
    "manifest.json of a bundle, as `aodasync bundles show --json` prints it.",
    schema_version={"const": SCHEMA_VERSION},
    bundle=TEXT,
    host=of("string|null"),
    live=of("boolean", "false: a replay"),
    anomaly=record("What was found.", name=TEXT, type=TEXT, episode=COUNT),
    episode=or_null(_EPISODE),
    verdict=_VERDICT,
    who=_WHO,
    mounts=several(_MOUNT),
    clock=record(monotonic_ns=MONOTONIC, realtime_ns=REALTIME),
    collection=record(
        decided_monotonic_ns=MONOTONIC,
        decided_realtime_ns=REALTIME,
        started_monotonic_ns=MONOTONIC,
        started_realtime_ns=REALTIME,
        ended_monotonic_ns=MONOTONIC,
        ended_realtime_ns=REALTIME,
        volatile_ms=of("number|null", "from the decision until what decays was in its files"),
    ),
    actions=several(_ACTION),
    events=record(
        "What events.npy holds, and what its numbers mean.",
        file=TEXT,
        dtype=several(several(TEXT)),
        count=COUNT,
        first_ns=MONOTONIC,
        last_ns=MONOTONIC,
        kinds=by_name(TEXT),
        outcomes=by_name(TEXT),
        flags=by_name(TEXT),
    ),
    in_flight=record(file=TEXT, count=COUNT),
    operations=record(file=TEXT, count=COUNT),
    losses=by_name(COUNT, "what was not recorded, by stage"),
    counters=COUNTS,
    connections=several(
        record(
            connection_id=COUNT,
            server=TEXT,
            address=TEXT,
            port=COUNT,
            is_smb1=FLAG,
            netns=COUNT,
            credits=of("integer|null", "requests that it might send when collection began"),
        )
    ),
    shares=several(record(session_id=TEXT, tree_id=COUNT, share=TEXT)),
    unreadable=by_name(TEXT, "tables that could not be read, and why"),
    truncations=several(record(file=TEXT, reason=TEXT)),
)
