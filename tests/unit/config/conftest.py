# SPDX-License-Identifier: MIT
"""What the tests of the configuration share."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from aodasync.config import Config, loads
from aodasync.errors import ConfigError


def _flush(text: str) -> str:
    """Line 1 is the first one of a triple-quoted text that has something on it."""
    return textwrap.dedent(text.removeprefix("\n"))


@pytest.fixture
def accept() -> Callable[[str], Config]:
    """Loads indented YAML that must be right."""
    return lambda text: loads(_flush(text), "f")


@pytest.fixture
def refuse() -> Callable[[str], list[str]]:
    """Loads indented YAML that must be wrong; gives the problems as a user sees them."""

    def problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loads(_flush(text), "f")
        return str(caught.value).splitlines()

    return problems
