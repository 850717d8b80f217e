# SPDX-License-Identifier: MIT
"""No test is left out unnoticed."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plugins that happen to be installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def _run(pytester: pytest.Pytester, text: str, *options: str, addopts: str = "") -> tuple[int, str]:
    """Runs pytest with the plugin on a file of these tests; returns exit code and output."""
    pytester.makepyfile(test_it=f"import pytest\n\n{text}")
    pytester.makeini(f"[pytest]\naddopts = {addopts}\nmarkers = slow\n")
    done = pytester.runpytest_inprocess("-p", "tests.no_skips", *options)
    return int(done.ret), done.stdout.str()


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip(reason='no time')\ndef test_a(): pass",
        "def test_a(): pytest.skip('no time')",
        "@pytest.fixture\ndef it(): pytest.skip('no time')\ndef test_a(it): pass",
        "pytest.skip('no time', allow_module_level=True)",
    ],
    ids=["marker", "call", "fixture", "module"],
)
def test_a_skip_without_an_allowed_reason_fails(pytester: pytest.Pytester, text: str) -> None:
    """Wherever it is asked for; the message has the test's name and its reason."""
    code, output = _run(pytester, text)
    assert code != 0
    assert "test_it.py" in output
    assert "was skipped: no time" in output


def test_an_expected_failure_is_no_skip(pytester: pytest.Pytester) -> None:
    """It ran."""
    code, _ = _run(pytester, "@pytest.mark.xfail\ndef test_a(): assert False")
    assert code == 0


_TWO = "@pytest.mark.slow\ndef test_a(): pass\ndef test_b(): pass"


def test_an_option_that_nobody_typed_cannot_deselect(pytester: pytest.Pytester) -> None:
    """A marker expression in a settings file fails the run and names the tests."""
    code, output = _run(pytester, _TWO, addopts='-m "not slow"')
    assert code != 0
    assert "test_a - deselected" in output


def test_the_command_line_may_deselect(pytester: pytest.Pytester) -> None:
    """Whoever typed it knows."""
    code, _ = _run(pytester, _TWO, "-m", "not slow")
    assert code == 0
