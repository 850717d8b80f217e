# SPDX-License-Identifier: MIT
"""The table of the README's section "Overhead", made of the figures that were measured.

``python -m tests.bench --peers --readme README.md`` writes it between two markers, and shows
what is over its bound. Bounds are those of the modules that measure; a figure that came with
another is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.bench import (
    bundles,
    hotpath,
    idle,
    kernel_side,
    latency,
    load,
    machine,
    memory,
    peers,
    startup,
)
from tests.bench.figures import Figure, number

__all__ = ["BEGIN", "END", "ROWS", "Row", "rewritten", "shown"]

BEGIN = "<!-- made by: nox -s bench -- --peers --readme README.md -->"
END = "<!-- that was made by the bench -->"
_HEAD = ("| what | measured | at most |", "|---|---|---|")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure to show, by its name; ``spread`` shows its note, too."""

    name: str
    unit: str
    bound: float | None = None
    spread: bool = False


def _decisions() -> Iterator[Row]:
    for rate in latency._RATES:
        what = f"event to decision at {rate:,} events/s"
        yield Row(f"{what}, median", "ms", latency.MEDIAN_MS)
        yield Row(f"{what}, 99th percentile", "ms", latency.P99_MS)


def _idle() -> Iterator[Row]:
    for name in ("no connection", "one connection"):
        yield Row(f"share of one core, {name}", "%", idle.SHARE_PERCENT)
        yield Row(f"wake-ups, {name}", "/s", idle.WAKEUPS_PER_SEC)


def _paths() -> Iterator[Row]:
    for size, most in hotpath._DECISION_NS.items():
        yield Row(f"ring to decision, batches of {size:,}", "ns/event", most)


def _peers() -> Iterator[Row]:
    for size, most in peers.OVER_BCC.items():
        batches = f"batches of {size:,}"
        yield Row(f"ours over stock bcc, {batches}", "x", most, spread=True)
        yield Row(f"ours over the plain loop, {batches}", "x", peers.OVER_LOOP[size], spread=True)
    yield Row("BPF a request: the pair over three empty programs", "x", spread=True)
    yield Row("BPF a request: ours over the pair", "x", peers.OVER_PAIR, spread=True)


ROWS = (
    Row(machine.ADDITIONS, "ms"),
    Row(machine.WAKE_UP, "ms"),
    Row("private dirty after three bundles", "MB", memory.BOUND_MB),
    Row("start with cached byte code", "ms", startup.WARM_MS),
    Row("start without cached byte code", "ms", startup.COLD_MS),
    *_decisions(),
    Row("decision to volatile evidence on disk, median", "ms", bundles.VOLATILE_MS),
    *_idle(),
    *(Row(load.share_at(rate, even=even), "%", most) for rate, even, most in load.BOUNDS),
    *_paths(),
    Row("BPF a request without files, in three empty programs", "x", kernel_side._MOST_EMPTY),
    Row("BPF a request with files, in three empty programs", "x", kernel_side._MOST_EMPTY),
    *_peers(),
)


def shown(row: Row) -> tuple[str, str, str]:
    """Its line in the README: name, unit and bound, as every table has them."""
    return row.name, row.unit, "" if row.bound is None else f"{number(row.bound)} {row.unit}"


def rewritten(readme: str, figures: Iterable[Figure], host: str) -> str:
    """The README with the figures of ``host`` in place of those that it has."""
    named = {figure.name: figure for figure in figures}
    lines = [BEGIN, f"On {host}:", "", *_HEAD, *(_line(row, named) for row in ROWS), END]
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} with {END} behind it")
    return before + "\n".join(lines) + after


def _line(row: Row, named: dict[str, Figure]) -> str:
    figure = named.get(row.name)
    if figure is None:
        raise ValueError(f"not measured: {row.name}; there are {', '.join(named)}")
    if (figure.unit, figure.bound) != (row.unit, row.bound):
        raise ValueError(f"{row} was measured as {figure}")
    name, unit, bound = shown(row)
    spread = f" ({figure.note})" if row.spread else ""
    over = ": over" if figure.is_broken else ""
    return f"| {name} | {number(figure.value)} {unit}{spread} | {bound}{over} |"
