# SPDX-License-Identifier: MIT
"""JSON Schemas of what the commands print.

A key that is named is a promise; there may be more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aodasync import config
from aodasync.cli.schemas.live import EVENT, LINE, PROCESS_LINE, REQUEST, STATUS
from aodasync.cli.schemas.manifest import MANIFEST
from aodasync.cli.schemas.pieces import (
    ANY,
    COUNT,
    FLAG,
    MONOTONIC,
    NUMBER,
    REALTIME,
    TEXT,
    TEXTS,
    VERSION_1,
    Schema,
    of,
    record,
    several,
)

__all__ = ["SCHEMAS", "schema_of"]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_PAST: Final = record(
    "An episode of the history; cause and who are those of its newest bundle.",
    id=TEXT,
    anomaly=TEXT,
    rule=TEXT,
    server=TEXT,
    began_ns=REALTIME,
    ended_ns=of("integer|null", "CLOCK_REALTIME in ns since 1970"),
    open=FLAG,
    cut_off=of("boolean", "the agent ended before it did"),
    emergency=FLAG,
    commands=TEXTS,
    codes=TEXTS,
    count=COUNT,
    threshold_ms=NUMBER,
    worst_ms=NUMBER,
    usual_ms=of("number|null"),
    suppressed=of("string", "why it has no bundle"),
    bundle=TEXT,
    verdict=ANY,
    who=ANY,
    next=TEXTS,
)
_PROPERTIES: Final[Mapping[str, Schema]] = _PAST["properties"]
_THRESHOLD: Final = record(ms=NUMBER, reason=TEXT)
_SIDE: Final = record(
    requests=COUNT, p50_ms=of("number|null"), p99_ms=of("number|null"), max_ms=of("number|null")
)
_COMPARED: Final = record(
    name=TEXT, a=_SIDE, b=_SIDE, times=of("number|null", "the median of b in those of a")
)
_PROBLEM: Final = record(file=TEXT, line=COUNT, column=COUNT, key=TEXT, message=TEXT)

SCHEMAS: Final[Mapping[str, Callable[[], Schema]]] = {
    "manifest": lambda: MANIFEST,
    "status": lambda: STATUS,
    "history": lambda: record(schema_version=VERSION_1, episodes=several(_PAST)),
    "config": config.schema,
    "why": lambda: record(schema_version=VERSION_1, **_PROPERTIES),
    "top": lambda: record(
        schema_version=VERSION_1,
        window_sec=NUMBER,
        **dict.fromkeys(("server", "share", "command"), several(LINE)),
        process=several(PROCESS_LINE),
    ),
    "slow": lambda: REQUEST,
    "inflight": lambda: record(
        now_ns=MONOTONIC, requests=several(REQUEST), operations=several(ANY)
    ),
    "bundles": lambda: several(
        record(
            time=TEXT,
            anomaly=TEXT,
            bytes=COUNT,
            server=TEXT,
            verdict=TEXT,
            path=TEXT,
            error=of("string|null"),
        )
    ),
    "verify": lambda: several(record(path=TEXT, problems=TEXTS, note=TEXT)),
    "events": lambda: EVENT,
    "diff": lambda: record(
        schema_version=VERSION_1,
        a=TEXT,
        b=TEXT,
        **dict.fromkeys(("command", "process", "phase"), several(_COMPARED)),
    ),
    "check-config": lambda: record(
        "",
        ("problems", "warnings"),
        ok=FLAG,
        problems=several(_PROBLEM),
        warnings=several(_PROBLEM),
    ),
    "suggest": lambda: record(
        schema_version=VERSION_1,
        default_threshold_ms=_THRESHOLD,
        emergency_threshold_ms=_THRESHOLD,
        track_commands=several(record(command=TEXT, ms=NUMBER, reason=TEXT)),
        past=of("string", "what these would have meant for the episodes of the history"),
    ),
    "doctor": lambda: record(
        host=ANY,
        checks=several(record(name=TEXT, state=TEXT, detail=TEXT, fix=TEXT, exit_code=COUNT)),
        exit_code=COUNT,
    ),
}
"""What makes each schema, by the name that ``aodasync schema`` takes."""


def schema_of(name: str) -> dict[str, Any]:
    """The schema of this name, a key of :data:`SCHEMAS`."""
    return {"$schema": _DRAFT, **SCHEMAS[name]()}
