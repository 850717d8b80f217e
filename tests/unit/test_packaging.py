# SPDX-License-Identifier: MIT
"""What a package lays out: links of its documents lead somewhere, programs can be run."""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tree of a package without libraries of others."""
    monkeypatch.syspath_prepend(ROOT / "packaging")
    (tmp_path / "vendor").mkdir()
    importlib.import_module("stage").stage(tmp_path / "tree", tmp_path / "vendor")
    return tmp_path / "tree"


def test_documents_of_a_package_link_to_what_is_in_it(staged: Path) -> None:
    """Those that README names, from where they lie."""
    documents = staged / "usr/share/doc/aodasync"
    for page in documents.rglob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), (page, link)
        for path in re.findall(r"`((?:contrib|docs)/[\w./-]+)`", page.read_text()):
            assert (documents / path).exists(), (page, path)


def test_what_is_for_use_is_there_with_its_mode(staged: Path) -> None:
    """Programs can be executed, and there is a place for settings of a host."""
    for program in ("usr/bin/aodasync", "usr/lib/aodasync/npd-check"):
        assert os.access(staged / program, os.X_OK), program
    assert list((staged / "etc/aodasync/conf.d").iterdir()) == []
    contrib = staged / "usr/share/doc/aodasync/contrib"
    for file in (path for path in (ROOT / "contrib").rglob("*") if path.is_file()):
        if file.name != "npd-check":
            shipped = contrib / file.relative_to(ROOT / "contrib")
            assert shipped.read_bytes() == file.read_bytes(), shipped
            assert shipped.stat().st_mode & 0o777 == 0o644, shipped
    unit = (staged / "usr/lib/systemd/system/aodasync.service").read_text()
    assert "ExecStart=/usr/bin/aodasync run" in unit
    assert "/opt/" not in unit


def test_the_rpm_owns_what_is_laid_out(staged: Path) -> None:
    """Each file is below a path that its list names, zsh's completion where it is moved to."""
    spec = (ROOT / "packaging/aodasync.spec").read_text()
    listed = re.findall(
        r"(/\S+)$", spec.partition("%files")[2].partition("%changelog")[0], re.MULTILINE
    )
    for path in staged.rglob("*"):
        if path.is_file():
            name = "/" + str(path.relative_to(staged)).replace(
                "zsh/vendor-completions", "zsh/site-functions"
            )
            assert any(name == one or name.startswith(f"{one}/") for one in listed), name


def test_each_library_is_pinned_by_hash() -> None:
    """What pyproject.toml asks for, in versions that it allows; each line has a hash."""
    text = (ROOT / "packaging/requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)
    pinned = {line.partition("==")[0].lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name, _, least = requirement.lower().partition(">=")
        assert name in pinned
        found = re.search(rf"^{name}==(\S+)", text, re.MULTILINE | re.IGNORECASE)
        assert found is not None
        assert [*map(int, found[1].split("."))] >= [*map(int, least.split("."))]
