# SPDX-License-Identifier: MIT
"""``aodasync top``: servers, shares, commands and processes, now."""

from __future__ import annotations

import contextlib
import curses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, TextIO

from aodasync.cli.live_client import LiveConnection, connected
from aodasync.cli.top_screen import HEADS, Screen, Style, draw, lines_of
from aodasync.errors import ExitCode, UsageError
from aodasync.host.cgroups import Units
from aodasync.live.frames import Subscription
from aodasync.live.window import VIEWS, Window

__all__ = ["as_json", "top"]

_WINDOW_SEC: Final = 10.0
_ONCE_LINES: Final = 60
_KEY_SEC: Final = 0.2
_BYTES: Final = 256


def as_json(window: Window, unit_of: Callable[[int], str]) -> dict[str, Any]:
    """All views and the state's episodes, as ``--json`` prints them."""
    views = {}
    for view in VIEWS:
        names = [name.lower() for name in HEADS[view]]
        views[view] = [
            {
                **dict(zip(names, line.key, strict=True)),
                **{k: v for k, v in asdict(line).items() if k != "key"},
            }
            for line in lines_of(window, view, Screen())
        ]
    for line in views["process"]:
        line["unit"] = unit_of(int(line["pid"]))
    state = window.state
    kept = ("now_ns", "probe", "blind", "losses", "episodes")
    return {
        "schema_version": 1,
        "window_sec": window.seconds,
        **{k: state.get(k) for k in kept},
        **views,
    }


def top(*, seconds: float, view: str, once: bool, json_: bool, out: TextIO) -> int:
    """Show it until ``q``; ``once`` after one window, as text; ``json_`` the same as JSON."""
    window = Window(seconds if once or json_ else _WINDOW_SEC)
    screen = Screen(view=view, unit_of=Units())
    with connected(Subscription(state_every_sec=min(seconds, 1.0))) as connection:
        if once or json_:
            _fill(connection, window, seconds)
            if json_:
                out.write(json.dumps(as_json(window, screen.unit_of), indent=2) + "\n")
            else:
                width = shutil.get_terminal_size((120, 60)).columns
                drawn = draw(window, screen, width=width, height=_ONCE_LINES)
                out.writelines(f"{text.rstrip()}\n" for text, _ in drawn[:-1])
            return ExitCode.OK
        if not sys.stdin.isatty() or not out.isatty() or not _can_draw(out):
            raise UsageError(
                "top needs a terminal on which a cursor can be moved (TERM)",
                hint="aodasync top --once, or --json",
            )
        curses.wrapper(_run, connection, window, screen, seconds)
    return ExitCode.OK


def _can_draw(out: TextIO) -> bool:
    try:
        curses.setupterm(fd=out.fileno())
    except curses.error:  # TERM is not set, or not known here
        return False
    return curses.tigetstr("cup") is not None


def _fill(connection: LiveConnection, window: Window, seconds: float) -> None:
    end_sec = time.monotonic() + seconds
    while time.monotonic() < end_sec or not window.state:
        _take(connection, window, end_sec - time.monotonic())


def _take(connection: LiveConnection, window: Window, wait_sec: float) -> None:
    for frame in connection.frames(max(0.05, wait_sec)):
        if frame.type == "rows":
            window.add(frame.rows)
        elif frame.type == "state":
            window.update(frame.header, frame.rows)


def _run(
    terminal: curses.window,
    connection: LiveConnection,
    window: Window,
    screen: Screen,
    seconds: float,
) -> None:
    styles = _styles()
    terminal.nodelay(True)  # noqa: FBT003  # curses has it so
    next_sec = 0.0
    while not screen.done:
        while (key := terminal.getch()) != curses.ERR:
            if 0 <= key < _BYTES:
                screen.press(chr(key))
            next_sec = 0.0
        _take(connection, window, _KEY_SEC)
        if time.monotonic() >= next_sec and not screen.paused:
            next_sec = time.monotonic() + seconds
            _show(terminal, window, screen, styles)


def _styles() -> dict[Style, int]:
    """Attributes of the styles; without colours where NO_COLOR or the terminal says so."""
    bad = curses.A_BOLD
    if curses.has_colors() and not os.environ.get("NO_COLOR"):
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_RED, -1)
        bad = curses.color_pair(1) | curses.A_BOLD
    return {
        Style.PLAIN: curses.A_NORMAL,
        Style.BOLD: curses.A_BOLD,
        Style.HEAD: curses.A_REVERSE,
        Style.BAD: bad,
        Style.DIM: curses.A_DIM,
    }


def _show(
    terminal: curses.window, window: Window, screen: Screen, styles: dict[Style, int]
) -> None:
    """Draw; curses sends what changed alone, which is what a slow line needs."""
    height, width = terminal.getmaxyx()
    terminal.erase()
    for place, (text, style) in enumerate(draw(window, screen, width=width, height=height)):
        with contextlib.suppress(curses.error):  # the last cell of the last line
            terminal.addnstr(place, 0, text.ljust(width), width, styles[style])
    terminal.refresh()
