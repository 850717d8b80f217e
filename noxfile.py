# SPDX-License-Identifier: MIT
"""Every check of the project: ``nox`` runs the ones that need no privilege, ``nox -s NAME`` one.

``python3 bootstrap.py test`` installs what they need and runs them all.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import nox

# As many at a time as there are CPUs.
IN_PARALLEL = ("--numprocesses", "auto", "--dist", "loadfile")
# What a test file says that measures how long something takes by the clock on the wall.
BY_THE_CLOCK = re.compile(r"\b(?:loop_lag|perf_counter|time\.monotonic)(?:_ns)?\(")

# The packages run the agent under it, and it is built to be quicker than most others.
DISTRIBUTION_PYTHON = Path("/usr/bin/python3")

LAB_EVERY_COMMIT = (
    *("--scenario", "smoke"),
    *("--scenario", "late_mount"),
    *("--scenario", "slow_server"),
    *("--scenario", "service"),
    *("--scenario", "fault_matrix", "--add", "tests/lab/every_commit/faults"),
)

nox.needs_version = ">=2024.3"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


def distribution_python() -> str | None:
    """The distribution's, None where that is too old for us: then that of nox is taken."""
    version = re.fullmatch(r"python3\.(\d+)", DISTRIBUTION_PYTHON.resolve().name)
    return str(DISTRIBUTION_PYTHON) if version and int(version[1]) >= 11 else None


@nox.session
def lint(session: nox.Session) -> None:
    """Style, defects that can be seen by reading, and the order of rooms (import-linter)."""
    # import-linter brings rich, which structlog imports where it finds it: not into .[dev].
    session.install("-e", ".", "import-linter>=2.17", "ruff>=0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Types of everything, this file and the tests included."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests: no privilege, no kernel, no network.

    Files that measure by the clock have the machine for themselves; "minimums" and "newer"
    repeat all of them on all CPUs.
    """
    session.install("-e", ".[dev]")
    pytest = ("python", "-m", "pytest")
    if session.posargs:
        session.run(*pytest, *session.posargs)
        return
    files = sorted(Path("tests/unit").rglob("test_*.py"))
    alone = [str(one) for one in files if BY_THE_CLOCK.search(one.read_text(encoding="utf-8"))]
    session.run(*pytest, *IN_PARALLEL, *(f"--ignore={one}" for one in alone), "tests/unit")
    session.run(*pytest, *alone)


@nox.session
def minimums(session: nox.Session) -> None:
    """Unit tests with the lowest version of each library that pyproject.toml allows."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = [requirement.replace(">=", "==") for requirement in project["dependencies"]]
    session.install("-e", ".[dev]", *lowest)
    session.run("python", "-m", "pytest", *(session.posargs or [*IN_PARALLEL, "tests/unit"]))


@nox.session
def page(session: nox.Session) -> None:
    """The page of a bundle in a headless Chromium, which must be installed; no network."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/page"]))


@nox.session
def newer(session: nox.Session) -> None:
    """Unit tests under the Python of Debian 13, in a chroot of the lab's userland; root."""
    arguments = session.posargs or [*IN_PARALLEL, "tests/unit"]
    session.run("python", "-m", "tests.lab.newer_python", *arguments)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hostile input of every reader, guided by coverage: ``-- --minutes N`` for all of it."""
    session.install("-e", ".[dev]", "atheris")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def kernel(session: nox.Session) -> None:
    """Real BPF programs on the running kernel; needs root and the distribution's bcc."""
    if os.geteuid() != 0:
        session.error("the kernel tests load BPF programs: run them as root")
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/kernel"]))


@nox.session(python=distribution_python())
def bench(session: nox.Session) -> None:
    """Start-up, memory, latency and cost on the running kernel, each against its bound; root.

    Under the distribution's Python, as the packages run the agent.

    ``-- --peers`` measures beside it what a user would run instead; ``--readme README.md``
    writes the README's table.
    """
    if os.geteuid() != 0:
        session.error("the bench loads BPF programs: run it as root")
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def lab(session: nox.Session) -> None:
    """A real SMB client and a real Samba in virtual machines; ``-- --help`` shows the options.

    Without options: what every commit must pass, on the default kernel.
    """
    session.run("python", "-m", "tests.lab", *(session.posargs or LAB_EVERY_COMMIT))


@nox.session
def packages(session: nox.Session) -> None:
    """The .deb, the .rpm, a wheel and an sdist, into ``dist/``; needs debhelper and rpmbuild.

    With ``-- deb`` or ``-- rpm`` that one alone.
    """
    session.install("-e", ".[packages]", "pip", "build")
    if not {"deb", "rpm"}.intersection(session.posargs):
        session.run("python", "-m", "build", "--outdir", "dist")
    session.run("python", "packaging/build.py", *session.posargs)
