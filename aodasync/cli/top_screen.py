# SPDX-License-Identifier: MIT
"""The screen of ``aodasync top``: what the user chose, and how a window is drawn."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from aodasync.evidence.one_by_one import chains
from aodasync.host.printable import printable
from aodasync.live.window import VIEWS, Line, Window

__all__ = ["HEADS", "Screen", "Style", "StyledLine", "draw", "lines_of"]

_KEYS: Final = (
    "q quit  s server  h share  c command  p process  a all  o sort  / filter  space pause"
)
_BY_KEY: Final = {"s": "server", "h": "share", "c": "command", "p": "process", "a": "all"}
_OLD_MS: Final = 1000.0
_SORTS: Final[Mapping[str, str]] = {
    "oldest": "oldest_ms",
    "sum": "sum_ms",
    "p99": "p99_ms",
    "rate": "per_sec",
    "errors": "errors",
}


@dataclass(slots=True)
class Screen:
    """What the user chose; keys change it. ``unit_of`` names a process' service or container."""

    view: str = "all"
    sort: str = "oldest"
    filter: str = ""
    paused: bool = False
    typing: bool = False
    done: bool = False
    unit_of: Callable[[int], str] = lambda _: ""

    def press(self, key: str) -> None:
        """Take one key in."""
        if self.typing:
            if key in ("\r", "\n", "\x1b"):
                self.typing = False
            elif key in ("\x7f", "\b"):
                self.filter = self.filter[:-1]
            elif key.isprintable():
                self.filter += key
        elif key in _BY_KEY:
            self.view = _BY_KEY[key]
        elif key == "o":
            order = list(_SORTS)
            self.sort = order[(order.index(self.sort) + 1) % len(order)]
        elif key == "/":
            self.typing, self.filter = True, ""
        elif key == " ":
            self.paused = not self.paused
        elif key in ("q", "\x03"):
            self.done = True


def lines_of(window: Window, view: str, screen: Screen, *, most: int | None = None) -> list[Line]:
    """A view's lines as the screen wants them: filtered, and sorted by what hurts most."""
    sought = screen.filter.casefold()
    wanted = (lambda key: sought in _words(view, key, screen)) if sought else None
    return window.table(view, by=_SORTS[screen.sort], most=most, wanted=wanted)


def _words(view: str, key: Sequence[Any], screen: Screen) -> str:
    """What a filter is looked for in."""
    unit = screen.unit_of(int(key[1])) if view == "process" else ""
    return " ".join(map(str, (*key, unit))).casefold()


class Style(Enum):
    """How a line is shown, where the terminal can."""

    PLAIN = auto()
    BOLD = auto()
    HEAD = auto()
    BAD = auto()
    DIM = auto()


StyledLine: TypeAlias = tuple[str, Style]

HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("SERVER",),
    "share": ("SERVER", "SHARE"),
    "command": ("SERVER", "COMMAND"),
    "process": ("PROCESS", "PID"),
}
_FIGURES: Final = ("REQ/S", "p50", "p99", "USUAL", "ERR/S", "WAIT", "OLDEST")
_FIGURE_WIDTH: Final = 7
_MOST_CHAINS: Final = 2
_CREDITS_FROM_WIDTH: Final = 90
_UNIT_FROM_WIDTH: Final = 100


def draw(window: Window, screen: Screen, *, width: int, height: int) -> list[StyledLine]:
    """The screen's lines, at most ``height`` of at most ``width`` characters. Pure."""
    views = list(VIEWS) if screen.view == "all" else [screen.view]
    drawn = [(_head(window, screen), Style.BOLD), *_episodes(window)]
    foot = f"filter: {screen.filter}_" if screen.typing else _KEYS
    room = max(1, (height - len(drawn) - 1 - len(views)) // len(views))
    for view in views:
        lines = lines_of(window, view, screen, most=room)
        drawn += _table(view, lines, width, screen.unit_of)
    drawn = [*drawn[: max(0, height - 1)], (foot, Style.DIM)]
    return [(printable(text)[:width], style) for text, style in drawn]


def _head(window: Window, screen: Screen) -> str:
    state = window.state
    seeing = "BLIND" if state.get("blind") else str(state.get("probe") or "waiting for cifs")
    lost = sum(v for v in (state.get("losses") or {}).values() if isinstance(v, int))
    clock = time.strftime("%H:%M:%S %Z")
    paused = "  PAUSED" if screen.paused else ""
    shown = f"  filter {screen.filter!r}" if screen.filter and not screen.typing else ""
    return (
        f"aodasync top - {socket.gethostname()}  {clock}  last {window.seconds:g} s"
        f"  {seeing.partition('+')[0]}  lost {lost}  sort {screen.sort}{shown}{paused}"
    )


def _episodes(window: Window) -> list[StyledLine]:
    found = []
    for episode in window.state.get("episodes", [])[:3]:
        since = max(0.0, (window.now_ns - int(episode.get("first_ns", 0))) / 1e9)
        many = "s" * (episode.get("count") != 1)
        text = (
            f"! {episode.get('anomaly')} on {episode.get('server')} for {since:.0f} s:"
            f" {episode.get('count')} request{many}, worst {_ms(episode.get('max_latency_ms'))}"
        )
        found.append((text, Style.BAD))
    for mount in window.state.get("mounts", []):
        if not mount.get("usable", True):
            text = f"! {mount.get('mount_point')} is not usable: {mount.get('why')}"
            found.append((text, Style.BAD))
    found += [(f"i {chain}", Style.PLAIN) for chain in chains(window.rows(), most=_MOST_CHAINS)]
    return found


def _table(
    view: str, lines: Sequence[Line], width: int, unit_of: Callable[[int], str]
) -> list[StyledLine]:
    with_credits = width >= _CREDITS_FROM_WIDTH
    heads = (*_FIGURES, "RTT", "RETR") if view == "server" else _FIGURES
    heads = (*heads, "CREDITS") if view == "server" and with_credits else heads
    names = HEADS[view]
    with_unit = view == "process" and width >= _UNIT_FROM_WIDTH
    names = (*names, "UNIT") if with_unit else names
    name_width = max(8, (width - len(heads) * _FIGURE_WIDTH) // len(names) - 1)
    drawn = [(_row(names, heads, name_width), Style.HEAD)]
    for line in lines:
        figures = [
            f"{line.per_sec:.1f}",
            _ms(line.p50_ms),
            _ms(line.p99_ms),
            _ms(line.usual_ms),
            f"{line.errors_per_sec:.1f}",
            str(line.waiting),
            _ms(line.oldest_ms or None),
        ]
        if view == "server":
            figures += [_ms(line.rtt_ms), _count(line.retransmits)]
            figures += [_count(line.credits)] if with_credits else []
        slow = line.usual_ms is not None and (line.p50_ms or 0) > 3 * line.usual_ms
        style = Style.BAD if slow or line.oldest_ms >= _OLD_MS else Style.PLAIN
        key = (*line.key, unit_of(int(line.key[1]))) if with_unit else line.key
        drawn.append((_row(key, figures, name_width), style))
    return drawn if lines else [*drawn, ("no requests", Style.DIM)]


def _row(names: Sequence[Any], figures: Sequence[str], name_width: int) -> str:
    left = " ".join(str(name)[:name_width].ljust(name_width) for name in names)
    return left + "".join(figure.rjust(_FIGURE_WIDTH) for figure in figures)


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _ms(value: float | None) -> str:
    """A time as three digits and a unit."""
    if value is None:
        return "-"
    if value >= 10_000:
        return f"{value / 1000:.0f}s"
    if value >= 1000:
        return f"{value / 1000:.1f}s"
    return (
        f"{value:.0f}ms" if value >= 100 else f"{value:.1f}ms" if value >= 1 else f"{value:.2f}ms"
    )
