# SPDX-License-Identifier: MIT
"""One browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.browser import Page, browser


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The browser's tab."""
    with browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """The tab, as wide as a desk's screen; the test fails on any error of the page's."""
    tab.screen(width=1280, height=900)
    tab.errors.clear()
    yield tab
    assert tab.errors == []


@pytest.fixture(scope="session")
def pictures(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: ``--basetemp`` keeps them."""
    del pytestconfig
    return tmp_path_factory.mktemp("pictures")
