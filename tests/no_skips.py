# SPDX-License-Identifier: MIT
"""A pytest plugin: a test that is skipped or deselected fails, unless ``ALLOWED`` has its reason.

A skipped test looks like a passed one in a summary that says "ok". Deselecting is for the
command line (``-k``, ``-m``); an option in a file or a variable must not do it unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import pytest

_UNIT = "tests/unit"

ALLOWED: Mapping[str, str] = {
    r"tests/kernel/test_hostile_actions\.py::.*: this kernel has no FUSE: .*": (
        "FUSE is a module that the running kernel may lack; the agent does not use it"
    ),
    rf"{_UNIT}/actions/test_volatile\.py::.*: cifs is loaded here": (
        "how the absence of the client is reported can be seen only where it is absent"
    ),
    rf"{_UNIT}/bundle/test_archive\.py::.*: (mounting .* needs root|this root may not mount)": (
        "unit tests need no privilege; as root, which is how commits are checked, it runs"
    ),
    rf"{_UNIT}/bundle/test_output_dir\.py::.*: only root can give files away": "likewise",
    rf"{_UNIT}/host/test_tcp_sockets\.py::.*\[::1\]: no ::1 on this host: .*": (
        "a kernel may run without IPv6; the same test runs with IPv4"
    ),
    rf"{_UNIT}/probes/test_machines\.py::.*: no .* \(linux-libc-dev\)": (
        "a machine without a C compiler has no headers; the numbers are the same everywhere"
    ),
}
"""Regular expressions for ``ID: REASON``, each with why that test cannot run everywhere."""

_ASKED_FOR = re.compile(r"-[km].*|--(deselect|lf|last-failed|sw|stepwise)\b.*")
_deselected = pytest.StashKey[list[str]]()
_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def _judged(report: _Report) -> _Report:
    """Turns a skip that is not allowed into a failure; an expected failure is no skip."""
    if report.skipped and not hasattr(report, "wasxfail"):
        where: Any = report.longrepr
        reason = str(where[2] if isinstance(where, tuple) else where).removeprefix("Skipped: ")
        if not any(re.fullmatch(one, f"{report.nodeid}: {reason}") for one in ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped: {reason}; see {__file__}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Called for each phase of each test."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Called for each module: it may skip itself as a whole."""
    return _judged((yield))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember them, unless the command line asked for it."""
    for item in items:
        arguments = item.config.invocation_params.args
        if not any(_ASKED_FOR.fullmatch(str(argument)) for argument in arguments):
            item.config.stash.setdefault(_deselected, []).append(item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if tests were deselected behind the caller's back."""
    if session.config.stash.get(_deselected, []) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were deselected."""
    for nodeid in terminalreporter.config.stash.get(_deselected, []):
        terminalreporter.write_line(f"FAILED {nodeid} - deselected, and not by the command line")
