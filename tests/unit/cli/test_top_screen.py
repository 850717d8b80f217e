# SPDX-License-Identifier: MIT
"""The screen of ``top`` fits any terminal, shows what hurts first, and obeys its keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.cli import main as cli
from aodasync.cli.top import as_json
from aodasync.cli.top_screen import Screen, Style, draw, lines_of
from aodasync.live.window import Window
from tests.builders import MS, SECOND, in_flight, request, requests

_STATE: dict[str, Any] = {
    "now_ns": 20 * SECOND,
    "probe": "fentry+fexit",
    "losses": {"ring_full": 3},
    "connections": [
        {"connection_id": 1, "server": "nas1", "address": "192.0.2.1", "port": 445},
        {"connection_id": 2, "server": "calm\x1b[2J", "address": "192.0.2.2", "port": 445},
    ],
    "usual": [{"server": "nas1", "command": "SMB2_READ", "ms": 9.0}],
    "episodes": [
        {
            "anomaly": "hang",
            "server": "nas1",
            "first_ns": 12 * SECOND,
            "count": 3,
            "max_latency_ms": 8000.0,
        }
    ],
    "mounts": [{"mount_point": "/mnt/a", "usable": False, "why": "no response"}],
}


def _window() -> Window:
    window = Window(10)
    window.add(
        requests(
            request(released_ns=19 * SECOND, latency_ns=500 * MS, comm=b"victim", tgid=5),
            *(request(released_ns=19 * SECOND, connection_id=2, comm=b"calm") for _ in range(9)),
        )
    )
    window.update(_STATE, in_flight(issued_ns=12 * SECOND, comm=b"victim", tgid=5))
    return window


@given(st.integers(20, 300), st.integers(4, 100))
def test_it_fits_any_terminal(width: int, height: int) -> None:
    """Never more lines nor columns than there are, and nothing that steers the terminal."""
    drawn = draw(_window(), Screen(), width=width, height=height)
    assert len(drawn) <= height
    assert all(len(text) <= width for text, _ in drawn)
    assert all(text.isprintable() for text, _ in drawn)


def test_who_waits_for_one_round_trip_after_another_is_said() -> None:
    """No alarm: nothing is slow, but there are many."""
    window = Window(10)
    window.add(
        requests(
            *(
                request(
                    released_ns=11 * SECOND + n * 21 * MS, latency_ns=20 * MS, comm=b"ls", tgid=9
                )
                for n in range(400)
            )
        )
    )
    window.update(_STATE, requests())
    (line,) = (text for text, _ in draw(window, Screen(), width=160, height=50) if text[:2] == "i ")
    assert line.startswith("i ls 9 waits 95% of its time: 400 round trips one after another")


def test_credits_are_shown_where_there_is_room() -> None:
    """Names of servers need the width of a small terminal."""
    window = _window()
    for connection in (connections := [dict(each) for each in _STATE["connections"]]):
        connection["credits"] = 510
    window.update({**_STATE, "connections": connections}, window.in_flight)
    wide = "\n".join(text for text, _ in draw(window, Screen(), width=90, height=24))
    assert "CREDITS" in wide
    assert "    510" in wide
    assert "CREDITS" not in "\n".join(t for t, _ in draw(window, Screen(), width=89, height=24))


def test_what_hurts_is_on_top_and_marked() -> None:
    """The episode, the mount, then the server and process that wait, before those that do more."""
    drawn = draw(_window(), Screen(), width=80, height=24)
    bad = [text for text, style in drawn if style is Style.BAD]
    assert bad[0] == "! hang on nas1 for 8 s: 3 requests, worst 8.0s"
    assert bad[1] == "! /mnt/a is not usable: no response"
    assert [line.key[0] for line in lines_of(_window(), "process", Screen())] == ["victim", "calm"]
    assert lines_of(_window(), "server", Screen())[0].oldest_ms == 8000


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("p", {"view": "process"}),
        ("oo", {"sort": "p99"}),
        ("/nas\r", {"filter": "nas", "typing": False}),
        ("/nax\x7fs", {"filter": "nas", "typing": True}),
        (" ", {"paused": True}),
        ("zq", {"done": True}),
    ],
)
def test_keys_change_what_is_shown(keys: str, expected: dict[str, Any]) -> None:
    """Views, order, filter, pause, the end; while a filter is typed they are its letters."""
    screen = Screen()
    for key in keys:
        screen.press(key)
    assert {name: getattr(screen, name) for name in expected} == expected


def test_a_filter_leaves_what_it_names() -> None:
    """Case does not matter, and figures of the rest are not shown."""
    screen = Screen(filter="VICT")
    assert [line.key[0] for line in lines_of(_window(), "process", screen)] == ["victim"]


def test_json_has_all_views_and_figures() -> None:
    """Under the names of the columns."""
    shown = as_json(_window(), lambda pid: f"unit{pid}")
    assert shown["server"][0]["server"] == "nas1"
    assert shown["process"][0]["pid"] == 5
    assert shown["server"][0]["usual_ms"] == 9.0
    assert shown["losses"] == {"ring_full": 3}


def test_a_wide_screen_names_services_and_containers() -> None:
    """Of processes, where there is room; a filter finds them on any screen."""
    screen = Screen(view="process", unit_of=lambda pid: "docker 3f2a9c0d1e4b" if pid == 5 else "")
    wide = "\n".join(text for text, _ in draw(_window(), screen, width=160, height=24))
    assert "UNIT" in wide
    assert "docker 3f2a9c0d1e4b" in wide
    assert "UNIT" not in "\n".join(t for t, _ in draw(_window(), screen, width=80, height=24))
    screen.filter = "docker"
    assert [line.key[0] for line in lines_of(_window(), "process", screen)] == ["victim"]
    assert as_json(_window(), screen.unit_of)["process"][0]["unit"] == "docker 3f2a9c0d1e4b"


@pytest.mark.parametrize(
    ("term", "able"), [("xterm", True), ("vt100", True), ("dumb", False), ("none-such", False)]
)
def test_a_terminal_without_a_cursor_is_no_screen(term: str, *, able: bool) -> None:
    """Where lines can only follow one another, or nothing is known of the terminal."""
    asked = "import sys; from aodasync.cli import top; print(top._can_draw(sys.stdout))"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(cli.__file__).parents[2],
        env={**os.environ, "TERM": term},
    )
    assert done.stdout == f"{able}\n"
