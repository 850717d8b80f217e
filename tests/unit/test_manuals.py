# SPDX-License-Identifier: MIT
"""The manual pages name every command and setting, and the completions are what shells read."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import shtab
import yaml

from aodasync import config
from aodasync.cli.arguments import parser
from aodasync.config.anomalies import ANOMALY_TYPES
from aodasync.config.guardian import settings_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manuals(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that makes them."""
    monkeypatch.syspath_prepend(ROOT / "packaging")
    return importlib.import_module("manuals")


def _told(page: str) -> dict[str, str]:
    """The text of each entry of a page by its title, as a reader sees both."""
    entries = re.findall(r"^\.TP\n\.B (.*)\n((?:.|\n)*?)(?=\n\.)", page, re.MULTILINE)
    return {name.replace(r"\-", "-"): text.replace(r"\-", "-") for name, text in entries}


def _keys(document: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in document.items():
        here = f"{path}.{key}" if path else key
        yield here
        if isinstance(value, Mapping):
            yield from _keys(value, here)


def test_every_setting_is_in_its_page(manuals: Any) -> None:
    """Those of the shipped file, and those of each type of anomaly below its own name."""
    told = _told(manuals.configuration())
    shipped = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert set(_keys(shipped)) - told.keys() == set()
    for type_ in ANOMALY_TYPES:
        wanted = {f"guardian.anomalies.{type_}.{s.key}" for s in settings_of(type_).settings}
        assert {n for n in told if re.fullmatch(rf"guardian\.anomalies\.{type_}\.\w+", n)} == wanted
    assert {"actions.NAME.command", "guardian.anomalies.error.rules[].name"} <= told.keys()


def test_defaults_are_as_a_file_has_them(manuals: Any) -> None:
    """What is written into a file as it stands there means the default."""
    told = _told(manuals.configuration())
    assert told["audit.enabled"].endswith("(default: true)")
    assert told["metrics.textfile"].endswith('(default: "")')
    assert told["guardian.anomalies.connection.acceptable_count"].endswith("default: 1)")
    assert told["guardian.anomalies.latency.acceptable_count"].endswith("default: 10)")
    lines = []
    for name, text in told.items():
        found = re.search(r"default: (.*)\)$", text)
        if found and "[]." not in name and "." not in name:
            lines.append(f"{name}: {found[1]}")
    assert config.loads("\n".join(lines), "f") == config.loads("{}", "f")


def test_every_command_is_in_the_page_and_in_the_completions(manuals: Any) -> None:
    """By its usage in the one, by its name in the others."""
    page, fish = _told(manuals.command()), manuals.fish()
    for name, _, command in manuals._all_commands(parser()):
        assert manuals._usage(command) in page
        assert f"-a {name} " in fish or command.prog != f"aodasync {name}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_read_by_their_shells(manuals: Any, shell: str) -> None:
    """A syntax error would meet whoever logs in."""
    made = manuals.fish() if shell == "fish" else shtab.complete(parser(), shell=shell)
    assert "inflight" in made
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=made, text=True, check=True, capture_output=True)
