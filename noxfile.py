# SPDX-License-Identifier: MIT
"""Every check of the project: ``nox`` runs the ones that need no privilege, ``nox -s NAME`` one.

``python3 bootstrap.py test`` installs what they need and runs them all.
"""

from __future__ import annotations

import os

import nox

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


@nox.session
def lint(session: nox.Session) -> None:
    """Style and defects that can be seen by reading."""
    session.install("ruff>=0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of everything, this file and the tests included."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests: no privilege, no kernel, no network."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/unit"]))


@nox.session
def kernel(session: nox.Session) -> None:
    """Real BPF programs on the running kernel; needs root and the distribution's bcc."""
    if os.geteuid() != 0:
        session.error("the kernel tests load BPF programs: run them as root")
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/kernel"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Start-up, memory, latency and cost on the running kernel, each against its bound; root."""
    if os.geteuid() != 0:
        session.error("the bench loads BPF programs: run it as root")
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.bench")


@nox.session
def lab(session: nox.Session) -> None:
    """A real SMB client and a real Samba in virtual machines; ``-- --help`` shows the options.

    Without options: what every commit must pass, on the default kernel.
    """
    session.run("python", "-m", "tests.lab", *(session.posargs or LAB_EVERY_COMMIT))
