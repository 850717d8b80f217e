# SPDX-License-Identifier: MIT
"""Figures, their bounds, and the table that holds one against the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "broken", "number", "render"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``bound`` is the most it may be; None: it is for information."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    note: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether it is over its bound."""
        return self.bound is not None and self.value > self.bound


def broken(figures: Iterable[Figure]) -> list[Figure]:
    """Those over their bounds."""
    return [figure for figure in figures if figure.is_broken]


def render(sections: Sequence[tuple[str, Sequence[Figure]]]) -> str:
    """The table as text: a section, then figure, value, bound and note in each line."""
    lines = []
    for title, figures in sections:
        lines += ["", title]
        for figure in figures:
            verdict = "" if figure.bound is None else "BROKEN" if figure.is_broken else "ok"
            bound = "" if figure.bound is None else f"<= {number(figure.bound)} {figure.unit}"
            lines.append(
                f"  {figure.name:<58} {number(figure.value):>10} {figure.unit:<8}"
                f" {bound:<12} {verdict:<6} {figure.note}".rstrip()
            )
    return "\n".join(lines[1:]) + "\n"


def number(value: float) -> str:
    """A value with as many digits as mean something."""
    if value and abs(value) < 10:
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}"
