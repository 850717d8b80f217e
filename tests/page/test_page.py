# SPDX-License-Identifier: MIT
"""The page in Chromium: zoom, brush, hover, filters, print; quick, and without errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aodasync.report import render
from tests.page.browser import Page
from tests.page.contents import KINDS, SLOWEST, content, healthy

_SHOWN = "document.getElementById('shown').textContent"
_MODE = "document.getElementById('plot').dataset.mode"
_VISIBLE = "document.querySelector('{}').checkVisibility()"
_SPAN = "(d => d.to - d.from)(document.getElementById('plot').dataset)"


def _written(directory: Path, kind: str, count: int = 2000) -> Path:
    path = directory / f"{kind}.html"
    path.write_text(render(content(kind, count)))
    return path


def _shown(page: Page) -> tuple[int, int]:
    """Requests that are drawn, and all of them."""
    found = re.match(r"([\d,]+) of ([\d,]+) requests", page.value(_SHOWN))
    assert found is not None
    drawn, whole = (int(number.replace(",", "")) for number in found.groups())
    return drawn, whole


def _box(page: Page, name: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element within the window, which it is scrolled into."""
    page.value(f"document.getElementById('{name}').scrollIntoView({{block: 'center'}})")
    page.drawn()
    box = f"document.getElementById('{name}').getBoundingClientRect()"
    left, top, width, height = page.value(f"(b => [b.left, b.top, b.width, b.height])({box})")
    return left, top, width, height


def _drag(page: Page, name: str, begin: float, end: float) -> None:
    """Over an element, from one part of its width to another."""
    left, top, width, height = _box(page, name)
    y = top + height / 2
    page.mouse("mousePressed", left + begin * width, y)
    for part in (0.5, 1.0):
        page.mouse("mouseMoved", left + (begin + part * (end - begin)) * width, y, buttons=1)
    page.mouse("mouseReleased", left + end * width, y)
    page.drawn()


def _choose(page: Page, name: str, word: str) -> None:
    page.value(
        f"(s => {{ s.value = [...s.options].find(o => o.text === '{word}').value;"
        f" s.dispatchEvent(new Event('change')); }})(document.getElementById('by-{name}'))"
    )
    page.drawn()


def _click(page: Page, name: str) -> None:
    page.value(f"document.getElementById('{name}').click()")
    page.drawn()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_anomaly_has_its_page(
    page: Page, tmp_path: Path, pictures: Path, kind: str
) -> None:
    """On a desk, on a phone, in the dark and on paper; nothing is wider than a phone."""
    path = _written(tmp_path, kind)
    for name, screen in (
        ("desktop", {"width": 1280, "height": 900}),
        ("dark", {"width": 1280, "height": 900, "scheme": "dark"}),
        ("phone", {"width": 390, "height": 844, "phone": True}),
    ):
        page.screen(**screen)
        page.open(path)
        assert page.value("document.documentElement.classList.contains('scripted')")
        assert page.value("document.documentElement.scrollWidth") <= screen["width"]
        page.picture(pictures / f"{kind}-{name}.png")
    page.printed(pictures / f"{kind}.pdf")


def test_the_first_window_is_the_anomaly(page: Page, tmp_path: Path) -> None:
    """Half a minute before it began to the end; all of it is a click away, and so is this."""
    page.open(_written(tmp_path, "latency"))
    drawn, whole = _shown(page)
    assert whole == 2101
    assert 101 < drawn < whole
    assert 34_000 < page.value(_SPAN) < 36_000
    _click(page, "go-all")
    assert _shown(page) == (whole, whole)
    _click(page, "go-anomaly")
    assert _shown(page) == (drawn, whole)


def test_it_zooms_by_dragging_by_buttons_and_by_keys(page: Page, tmp_path: Path) -> None:
    """What is dragged over fills the window; a double click, and minus, widen it."""
    page.open(_written(tmp_path, "latency"))
    before = page.value(_SPAN)
    _drag(page, "plot", 0.5, 0.75)
    assert page.value(_SPAN) == pytest.approx(before / 4, rel=0.1)
    _click(page, "go-wider")
    assert page.value(_SPAN) == pytest.approx(before / 2, rel=0.1)
    page.value("document.getElementById('plot').focus()")
    for key, factor in (("+", 0.25), ("-", 0.5), ("ArrowLeft", 0.5)):
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert page.value(_SPAN) == pytest.approx(before * factor, rel=0.1)


def test_the_strip_is_a_brush(page: Page, tmp_path: Path) -> None:
    """Dragging over it chooses the window, dragging the window moves it."""
    page.open(_written(tmp_path, "latency"))
    _click(page, "go-all")
    whole = page.value(_SPAN)
    _drag(page, "strip", 0.1, 0.3)
    assert page.value(_SPAN) == pytest.approx(whole / 5, rel=0.1)
    begin = float(page.value("document.getElementById('plot').dataset.from"))
    _drag(page, "strip", 0.2, 0.6)
    moved = float(page.value("document.getElementById('plot').dataset.from")) - begin
    assert moved == pytest.approx(0.4 * whole, rel=0.1)
    assert page.value(_SPAN) == pytest.approx(whole / 5, rel=0.1)


def _place(page: Page) -> tuple[float, float]:
    """Where the slowest request is drawn, within the window: as the page's script draws it."""
    left, top, width, height = _box(page, "plot")
    first_ms = (int(SLOWEST["released_ns"][0]) - int(healthy(2000)["released_ns"][0])) / 1e6
    begin, end = (
        float(page.value(f"document.getElementById('plot').dataset.{side}"))
        for side in ("from", "to")
    )
    x = left + 56 + (first_ms - begin) / (end - begin) * (width - 66)
    return x, top + 22 + 0.15 * (height - 48) / 4


def test_the_request_under_the_pointer_is_told(page: Page, tmp_path: Path) -> None:
    """Command, latency, process, share, status and phases; away from it nothing is."""
    page.open(_written(tmp_path, "latency"))
    x, y = _place(page)
    page.mouse("mouseMoved", x, y)
    page.drawn()
    said = page.value("document.getElementById('tip').innerText")
    for part in (
        *("FLUSH 7 s", "postgres 2210, //nas.example/data", "STATUS_SUCCESS"),
        *("response after 6 s", "taken 1 s later"),
    ):
        assert part in said
    page.mouse("mouseMoved", x, y + 60)
    page.drawn()
    assert page.value("document.getElementById('tip').hidden")


def test_filters_leave_a_command_a_process_or_what_failed(page: Page, tmp_path: Path) -> None:
    """In the plot, and in the waterfall, where the others fade."""
    page.open(_written(tmp_path, "latency"))
    faded = (
        "[document.querySelectorAll('g.request').length, document.querySelectorAll('g.off').length]"
    )
    assert page.value(faded) == [50, 0]
    _choose(page, "process", "postgres 2210")
    assert _shown(page)[0] == 1
    assert page.value(faded) == [50, 49]
    _choose(page, "process", "all")
    _choose(page, "command", "WRITE")
    writes = _shown(page)[0]
    assert 0 < writes < 1000
    assert page.value(faded) == [50, 50]
    _choose(page, "command", "all")
    _click(page, "by-failed")
    assert _shown(page)[0] == 0
    page.open(_written(tmp_path, "error"))
    _click(page, "by-failed")
    assert _shown(page)[0] == 100


def test_fifty_thousand_requests_open_in_three_seconds(page: Page, tmp_path: Path) -> None:
    """Under three megabytes; a heat map, and single requests when there are few enough."""
    path = _written(tmp_path, "latency", 49_899)
    assert path.stat().st_size < 3_000_000
    assert page.open(path) < 3
    _click(page, "go-all")
    assert _shown(page) == (50_000, 50_000)
    assert page.value(_MODE) == "heat"
    for _ in range(4):
        _click(page, "go-closer")
    assert page.value(_MODE) == "points"
    assert 0 < _shown(page)[0] <= 5000


def test_without_script_the_page_says_the_same(page: Page, tmp_path: Path) -> None:
    """The timeline is drawn, the controls are not there."""
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(_written(tmp_path, "latency"), scripted=False)
        assert page.value(_VISIBLE.format(".wide svg"))
        assert not page.value(_VISIBLE.format("#live"))
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_gets_the_drawing_and_the_logs(page: Page, tmp_path: Path) -> None:
    """Not the controls, and what is folded on a screen is unfolded."""
    page.open(_written(tmp_path, "latency"))
    assert [page.value(_VISIBLE.format(name)) for name in (".wide svg", "details pre")] == [
        False
    ] * 2
    page.call("Emulation.setEmulatedMedia", media="print")
    page.drawn()
    assert [page.value(_VISIBLE.format(name)) for name in (".wide svg", "details pre")] == [
        True
    ] * 2
    assert not page.value(_VISIBLE.format("#live"))
