# SPDX-License-Identifier: MIT
"""What the running agent says (status, top), and requests."""

from __future__ import annotations

from typing import Final

from aodasync.cli.schemas.pieces import (
    COUNT,
    COUNTS,
    FLAG,
    MONOTONIC,
    NUMBER,
    TEXT,
    TEXTS,
    VERSION_1,
    by_name,
    of,
    record,
    several,
)

__all__ = ["EVENT", "LINE", "PROCESS_LINE", "REQUEST", "STATUS"]

STATUS: Final = record(
    "The running agent, as `aodasync status --json` prints it.",
    schema_version=VERSION_1,
    version=TEXT,
    config=TEXT,
    probe=TEXT,
    kernel=of("string|null"),
    blind=FLAG,
    open_episodes=several(
        record(
            anomaly=TEXT,
            server=TEXT,
            for_ms=NUMBER,
            count=COUNT,
            max_latency_ms=NUMBER,
            emergency=FLAG,
        )
    ),
    mounts=by_name(TEXT, "a sentence for each mount point"),
    servers=by_name(
        record(
            "The requests of the last minute.",
            connections=COUNT,
            requests=COUNT,
            per_sec=NUMBER,
            median_ms=NUMBER,
            p99_ms=NUMBER,
            max_ms=NUMBER,
            errors=COUNT,
            unanswered=COUNT,
        )
    ),
    in_flight=record(count=COUNT, oldest=of("object|null")),
    losses=COUNTS,
    restarts=COUNTS,
    uptime_sec=NUMBER,
    cpu_sec=NUMBER,
    rss_bytes=COUNT,
    private_dirty_bytes=COUNT,
    loop_lag_max_ms=NUMBER,
)
REQUEST: Final = record(
    "A request: a line of `aodasync slow --json`.",
    issued_ns=MONOTONIC,
    latency_ms=of("number", "from issue to release; its age while it is in flight"),
    wire_ms=of("number|null", "from issue to response"),
    client_ms=of("number|null", "from response to release"),
    command=TEXT,
    status=TEXT,
    outcome=TEXT,
    server=TEXT,
    share=TEXT,
    file=of("string", "from the share's root on; empty where it is unknown"),
    pid=of("integer", "the thread"),
    tgid=of("integer", "the process"),
    comm=TEXT,
    message_id=COUNT,
)
EVENT: Final = record(
    "A row of events.npy: a line of `aodasync bundles events --json`.",
    time=of("string|null", "when it ended, in UTC"),
    kind=of("string", "request, or the trouble that the row is"),
    command=of("string|null"),
    latency_ms=of("number|null", "from issue to release"),
    send_ms=of("number|null", "from issue to the socket, to one tick"),
    wire_ms=of("number|null", "from there to the response"),
    client_ms=of("number|null", "from response to release"),
    status=TEXT,
    outcome=TEXT,
    server=TEXT,
    share=TEXT,
    comm=TEXT,
    pid=of("integer", "the thread"),
    tgid=of("integer", "the process"),
    message_id=COUNT,
    session_id=TEXT,
    connection_id=COUNT,
    flags=TEXTS,
    issued_ns=MONOTONIC,
    released_ns=MONOTONIC,
    file=of("string", "from the share's root on; empty where it is unknown"),
)
LINE: Final = record(
    requests=COUNT,
    per_sec=NUMBER,
    p50_ms=of("number|null"),
    p99_ms=of("number|null"),
    max_ms=of("number|null"),
    usual_ms=of("number|null"),
    sum_ms=NUMBER,
    errors=COUNT,
    waiting=COUNT,
    oldest_ms=NUMBER,
    rtt_ms=of("number|null", "of a server: TCP's smoothed round trip"),
    retransmits=of("integer|null", "of a server, in the window"),
    credits=of("integer|null", "of a server: of its connection that has the fewest"),
)
PROCESS_LINE: Final = {
    "allOf": [LINE, record(process=TEXT, pid=COUNT, unit=of("string", "its service or container"))]
}
