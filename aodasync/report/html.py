# SPDX-License-Identifier: MIT
"""Pieces of HTML. Whatever is put into them is text, and stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

__all__ = ["cards", "number", "pairs", "section", "table", "text"]

_CONTROLS: Final = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: object) -> str:
    """Any value as text that is safe between tags and in quoted attributes."""
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value)))


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
    """A table; columns whose head begins with ``#`` are numbers, with ``~`` wrap."""
    kinds = [{"#": "n", "~": "wrap"}.get(head[0], "") if head else "" for head in heads]

    def cells(tag: str, values: Sequence[object]) -> str:
        named = zip(kinds, values, strict=True)
        return "".join(f'<{tag} class="{kind}">{text(value)}</{tag}>' for kind, value in named)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    if not body:
        return ""
    head = cells("th", [head.lstrip("#~") for head in heads])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{body}</table></div>'


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Labels and what they say; empty ones are left out."""
    lines = [f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in items if v not in ("", None)]
    return f"<dl>{''.join(lines)}</dl>" if lines else ""


def cards(items: Iterable[tuple[str, object]]) -> str:
    """Key figures."""
    shown = (f'<div class="card"><b>{text(v)}</b><span>{text(k)}</span></div>' for k, v in items)
    return f'<div class="cards">{"".join(shown)}</div>'
