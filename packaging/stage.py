# SPDX-License-Identifier: MIT
"""Lays the files of a package out below a directory: what .deb and .rpm have in common.

``python3 packaging/stage.py DESTDIR VENDOR`` where VENDOR holds the Python libraries that
distributions lack or have too old (``packaging/vendor.txt``, fetched by ``build.py``).
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manuals
import shtab

from aodasync.cli.arguments import parser

ROOT: Final = Path(__file__).resolve().parents[1]
_LIBRARY: Final = Path("usr/lib/aodasync")
_PLUG_IN: Final = "node-problem-detector/npd-check"
_PROGRAMS: Final = frozenset({"usr/bin/aodasync", "usr/lib/aodasync/npd-check"})
_LAUNCHER: Final = """#!/usr/bin/python3 -I
# SPDX-License-Identifier: MIT
import sys

sys.path[:0] = ["/usr/lib/aodasync", "/usr/lib/aodasync/vendor"]
from aodasync.__main__ import main

sys.exit(main())
"""
_COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/aodasync",
    "zsh": "usr/share/zsh/vendor-completions/_aodasync",
}


def stage(into: Path, vendor: Path) -> None:
    """Lay everything out below ``into``, which is empty or not there."""
    library = into / _LIBRARY
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "aodasync", library / "aodasync", ignore=ignored)
    shutil.copytree(ROOT / "bpf", library / "aodasync/_bpf")
    shutil.copytree(ROOT / "config", library / "aodasync/_config")
    shutil.copytree(vendor, library / "vendor", ignore=ignored)
    _write(into / "usr/bin/aodasync", _LAUNCHER, 0o755)
    unit = (ROOT / "config/aodasync.service").read_text(encoding="utf-8")
    unit = unit.replace("/opt/aodasync/bin/aodasync", "/usr/bin/aodasync")
    _write(into / "usr/lib/systemd/system/aodasync.service", unit)
    shipped = (ROOT / "config/config.yaml").read_text(encoding="utf-8")
    _write(into / "etc/aodasync/config.yaml", shipped)
    (into / "etc/aodasync/conf.d").mkdir()
    _compress(into / "usr/share/man/man8/aodasync.8.gz", manuals.command())
    _compress(into / "usr/share/man/man5/aodasync.yaml.5.gz", manuals.configuration())
    for shell, path in _COMPLETIONS.items():
        _write(into / path, shtab.complete(parser(), shell=shell))
    _write(into / "usr/share/fish/vendor_completions.d/aodasync.fish", manuals.fish())
    documents = into / "usr/share/doc/aodasync"
    documents.mkdir(parents=True)
    for name in ("README.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, documents / name)
    shutil.copytree(ROOT / "docs", documents / "docs")
    shutil.copytree(ROOT / "contrib", documents / "contrib", ignore=ignored)
    (documents / "contrib" / _PLUG_IN).rename(library / "npd-check")
    _normalise(into)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _compress(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _normalise(into: Path) -> None:
    """Modes do not depend on the builder's umask; the compiler's entry is not a program."""
    for directory, names, files in os.walk(into):
        for name in names:
            Path(directory, name).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            path.chmod(0o755 if str(path.relative_to(into)) in _PROGRAMS else 0o644)


if __name__ == "__main__":
    stage(Path(sys.argv[1]), Path(sys.argv[2]))
