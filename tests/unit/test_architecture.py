# SPDX-License-Identifier: MIT
"""ARCHITECTURE.md speaks of the tree as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _quoted() -> list[str]:
    """Everything in backquotes, and the targets of links."""
    return re.findall(r"`([^`\n]+)`", TEXT) + re.findall(r"\]\(([^)]+)\)", TEXT)


def test_every_path_that_it_names_exists() -> None:
    """Files and folders of the project, and rooms below the package."""
    places = (ROOT, ROOT / "aodasync", ROOT / "tests")
    named = [
        text for text in _quoted() if re.fullmatch(r"[\w./-]+(/|\.(py|h|c|md|json|yaml))", text)
    ]
    assert len(named) > 50
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert missing == []


def test_it_lists_the_rooms_in_the_order_that_is_checked() -> None:
    """From the top to the bottom, as import-linter has them in pyproject.toml."""
    (layers,) = (
        contract["layers"]
        for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    rows = re.findall(r"^\| (`.+`) \| .+ \|$", TEXT, re.MULTILINE)
    rooms = [
        " | ".join(name.strip("`/").removesuffix(".py") for name in row.split(", ")) for row in rows
    ]
    assert rooms == layers


@pytest.mark.parametrize(
    "table",
    [
        "BUILTIN",
        "ANOMALY_TYPES",
        "DETECTORS",
        "CAPTURES",
        "Counter",
        "LOSS_COUNTERS",
        "MACHINES",
    ],
)
def test_every_table_that_it_names_is_where_it_says(table: str) -> None:
    """A row goes into the module named right after the table."""
    (module,) = re.findall(
        rf"`{table}`[^`]*\(`(aodasync/[\w/]+\.py)`", TEXT.replace("\n", " ")
    ) or ("aodasync/probes/shared.py",)
    assert re.search(rf"^(class )?{table}\b", (ROOT / module).read_text(), re.MULTILINE)


def test_every_event_option_and_class_that_it_names_is_in_the_source() -> None:
    """Names that are no paths: each occurs as a word somewhere in the package or in bpf/."""
    sources = [*(ROOT / "aodasync").rglob("*.py"), *(ROOT / "bpf").rglob("*.[ch]")]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in sources)))
    names = {text for text in _quoted() if re.fullmatch(r"\w+", text)} - {"NAME"}
    assert sorted(names - words) == []
