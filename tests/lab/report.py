# SPDX-License-Identifier: MIT
"""The closing table and the summary line."""

from collections.abc import Iterable, Sequence

from .session import Result

_HEADINGS = ("kernel", "scenario", "passed", "failed", "time", "result")


def summary(results: Sequence[Result]) -> str:
    """Return a table of the results, the failures by name, and ``N passed, N failed``."""
    rows = [
        (
            result.kernel,
            result.scenario,
            str(result.passed),
            str(len(result.failures)),
            f"{result.seconds:.0f} s",
            result.verdict,
        )
        for result in results
    ]
    lines = ["", *_table((_HEADINGS, *rows))]
    for result in results:
        lines += [f"failed: {result.kernel} {result.scenario}: {what}" for what in result.failures]
    passed = sum(result.passed for result in results)
    failed = sum(len(result.failures) for result in results)
    return "\n".join((*lines, f"{passed} passed, {failed} failed"))


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
