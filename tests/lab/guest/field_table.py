# SPDX-License-Identifier: MIT
"""The table of the field's cases: a line for each, and what is wrong with it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import product
from field_cases import AGE_SEC, Case
from product import Event


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    case: str
    anomalies: str
    after_sec: float
    servers: str
    cause: str
    expected: str
    wrong: tuple[str, ...]


def judge(case: Case, events: list[Event], verdicts: list[Event], begun: float) -> Line:
    """Compare what was reported (log lines, and the verdict of each bundle) with the case.

    ``begun`` is when its fault began. ``verdicts`` are the manifests' in the order of the
    bundles, each with its ``anomaly``.
    """
    wanted = [names.split("|") for names in case.anomalies]
    first = next((v for v in verdicts if wanted and v["anomaly"] in wanted[0]), None)
    told = next((e for e in events if wanted and e["anomaly"] in wanted[0]), None)
    after_sec = product.unix_time(told) - begun if told else float("inf")
    wrong = [*_of_episodes(case, events, wanted), *_of_verdict(case, first)]
    said = "\n".join(verdict["sentence"] for verdict in verdicts)
    if first and not re.search(case.later, said, re.IGNORECASE):
        wrong.append(f"no bundle says anything of {case.later}")
    if case.anomalies and after_sec > case.within_sec:
        wrong.append(f"only after {after_sec:.0f} s")
    expected = f"{'+'.join(case.anomalies) or 'nothing'}: {'/'.join(sorted(case.causes)) or '-'}"
    return Line(
        case.name,
        "+".join(event["anomaly"] for event in events) or "-",
        after_sec,
        "+".join(sorted({event["server"] for event in events})) or "-",
        f"{first['cause']}/{first['confidence']}" if first else "-",
        expected,
        tuple(wrong),
    )


def _of_episodes(case: Case, events: list[Event], wanted: list[list[str]]) -> Iterator[str]:
    seen = {event["anomaly"] for event in events}
    yield from (f"no {' or '.join(names)}" for names in wanted if not seen & set(names))
    allowed = case.also.union(*wanted)
    for anomaly, count in Counter(event["anomaly"] for event in events).items():
        if anomaly not in allowed:
            yield f"an alarm: {anomaly}"
        elif count > case.most:
            yield f"{count} episodes of {anomaly}, {case.most} at most"
    if "latency" in seen.difference(*wanted):
        (slow,) = [event for event in events if event["anomaly"] == "latency"][:1]
        if slow is events[0] or slow["max_latency_ms"] < AGE_SEC * 1e3:
            yield f"a latency of {slow['max_latency_ms']:.0f} ms, which is no end of a hang"
    servers = {event["server"] for event in events}
    if not servers <= case.servers:
        yield f"servers {sorted(servers)}"


def _of_verdict(case: Case, verdict: Event | None) -> Iterator[str]:
    if verdict is None:
        if case.anomalies:
            yield "no bundle"
        return
    if verdict["cause"] not in case.causes:
        yield f"cause {verdict['cause']}"
    sure = (verdict["cause"], verdict["confidence"]) == ("server", "high")
    if case.not_server_for_sure and sure:
        yield "the server for sure"
    if not re.search(case.says, verdict["sentence"], re.IGNORECASE):
        yield f"says nothing of {case.says}"


def print_table(lines: list[Line]) -> None:
    """As the fault matrix prints its own."""
    print(f"{'case':30}{'reported as':28}{'after':>8}  {'server':20}{'cause':16}expected")
    for line in lines:
        print(
            f"{line.case:30}{line.anomalies[:27]:28}{line.after_sec:6.1f} s  {line.servers:20}"
            f"{line.cause:16}{line.expected}"
        )
        for what in line.wrong:
            print(f"{'':30}WRONG: {what}")
    sys.stdout.flush()
