# SPDX-License-Identifier: MIT
"""A private apt root: another suite's package lists, without touching the host's."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .architecture import HOST, Architecture
from .cache import locked
from .command import run, say
from .errors import LabError
from .hostpackages import BUILD_TOOLS, ensure_tools
from .mirror import VARIABLE, find_mirror
from .releases import KERNEL_METAPACKAGE, KERNEL_PACKAGE_PATTERN

_CONF = """\
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
"""


class AptRoot:
    """Package lists of one suite for one architecture, in a directory of their own."""

    def __init__(self, cache_root: Path, suite: str, architecture: Architecture = HOST) -> None:
        self.suite = suite
        self.sources: list[str] = []
        self._arch = architecture.name
        self._root = cache_root / "apt" / f"{suite}{architecture.suffix}"
        self._lock = cache_root / "locks" / f"apt-{suite}{architecture.suffix}"

    def update(self) -> None:
        """Fetch the package lists, once in the life of this object."""
        if self.sources:
            return
        ensure_tools(BUILD_TOOLS, keyring=True)
        sources = find_mirror().sources(self.suite)
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        (self._root / "state/status").touch()
        (self._root / "sources.list").write_text("\n".join(sources) + "\n", encoding="utf-8")
        conf = _CONF.format(root=self._root, arch=self._arch)
        (self._root / "apt.conf").write_text(conf, encoding="utf-8")
        say(f"reading the package lists of {self.suite}")
        try:
            self._apt("apt-get", "update", "-q")
        except LabError as error:
            raise LabError(
                f"the package lists of {self.suite} cannot be fetched: {error.what}",
                hint=f"{VARIABLE} names another mirror",
            ) from error
        self.sources = sources

    def versions(self, packages: Iterable[str], installed: Path | None = None) -> list[str]:
        """Return ``name=version`` of the packages and all they depend on, sorted.

        ``installed`` is dpkg's status file of a system that has some of them already.
        """
        status = () if installed is None else (f"-oDir::State::status={installed}",)
        install = ("apt-get", *status, "install", "-s", "--no-install-recommends", *packages)
        plan = self._apt(*install)
        found = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", plan, flags=re.MULTILINE)
        return sorted(f"{name}={version}" for name, version in found)

    def kernel_packages(self) -> list[str]:
        """Return the packages that hold the suite's kernel and its modules."""
        relations = ("suggests", "recommends", "conflicts", "breaks", "replaces", "enhances")
        tree = self._apt(
            "apt-cache",
            "depends",
            "--recurse",
            *(f"--no-{relation}" for relation in relations),
            KERNEL_METAPACKAGE + self._arch,
        )
        matches = re.finditer(rf"^{KERNEL_PACKAGE_PATTERN}$", tree, flags=re.MULTILINE)
        return sorted({match.group() for match in matches})

    def download(self, packages: Iterable[str], into: Path) -> list[Path]:
        """Download the ``.deb`` files of ``packages`` and return their paths."""
        into.mkdir(parents=True, exist_ok=True)
        self._apt("apt-get", "download", "-q", *packages, cwd=into)
        return sorted(into.glob("*.deb"))

    def _apt(self, *argv: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._root / "apt.conf"), "LC_ALL": "C"}
        with locked(self._lock):
            return run(argv, env=environment, cwd=cwd)
