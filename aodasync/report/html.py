# SPDX-License-Identifier: MIT
"""Pieces of HTML. Whatever is put into them is text, and stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import Final

from aodasync.host.printable import printable_text

__all__ = ["cards", "more", "number", "pairs", "section", "short", "table", "text"]

_MOST_CELL: Final = 500  # characters
_MOST_ROWS: Final = 200


def text(value: object) -> str:
    """Any value as text that is safe between tags and in quoted attributes."""
    return escape(printable_text(str(value)))


def short(value: object) -> str:
    """The same, of long values the beginning."""
    whole = str(value)
    left_out = len(whole) - _MOST_CELL
    more = f" [{left_out} more characters]" if left_out > 0 else ""
    return text(whole[:_MOST_CELL]) + more


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many significant digits; a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def section(title: str, *content: str) -> str:
    """A headed part; nothing if there is nothing in it."""
    body = "".join(content)
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; columns whose head begins with ``#`` are numbers, with ``~`` wrap.

    Of many rows the first, and how many more there are.
    """
    kinds = [{"#": "n", "~": "wrap"}.get(head[0], "") if head else "" for head in heads]

    def cells(tag: str, values: Sequence[object]) -> str:
        named = zip(kinds, values, strict=True)
        return "".join(f'<{tag} class="{kind}">{short(value)}</{tag}>' for kind, value in named)

    left = iter(rows)
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in islice(left, _MOST_ROWS))
    if not body:
        return ""
    head = cells("th", [head.lstrip("#~") for head in heads])
    whole = f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{body}</table></div>'
    return whole + more(sum(1 for _ in left))


def more(left_out: int) -> str:
    """How many are in the bundle alone; nothing for none."""
    return f'<p class="dim">{left_out:,} more are in the bundle.</p>' if left_out > 0 else ""


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Labels and what they say; empty ones are left out, and the last ones of many."""
    shown = [(label, said) for label, said in items if said not in ("", None)]
    lines = [f"<dt>{short(k)}</dt><dd>{short(v)}</dd>" for k, v in shown[:_MOST_ROWS]]
    return f"<dl>{''.join(lines)}</dl>{more(len(shown) - _MOST_ROWS)}" if lines else ""


def cards(items: Iterable[tuple[str, object]]) -> str:
    """Key figures."""
    shown = (f'<div class="card"><b>{text(v)}</b><span>{text(k)}</span></div>' for k, v in items)
    return f'<div class="cards">{"".join(shown)}</div>'
