# SPDX-License-Identifier: MIT
"""A file cannot make the loader slow, large, or wordy."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aodasync.config import Config, load
from aodasync.errors import ConfigError

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def _nested_aliases(depth: int) -> str:
    first = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
    others = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, depth))
    return "\n".join([first, *others])


def _merge_chain(links: int) -> str:
    others = (f"m{n}: &m{n} {{<<: *m{n - 1}, k{n}: 1}}" for n in range(1, links))
    return "\n".join(["m0: &m0 {k0: 1}", *others])


@pytest.mark.parametrize("text", [_nested_aliases(9), _merge_chain(1500)], ids=["list", "merge"])
def test_aliases_that_stand_for_too_much_are_refused(refuse: Refuse, text: str) -> None:
    """A billion values in nine lines; a chain of merges that grows with its square."""
    (problem,) = refuse(text)
    assert problem.endswith(": (file): aliases stand for more than 10000 values")


def test_more_values_than_any_configuration_has_are_refused(refuse: Refuse) -> None:
    """Where the 10,001st one stands: 20,000 unknown codes are not even looked at."""
    codes = "\n".join(f"- ENOTACODE{number}" for number in range(20_000))
    (problem,) = refuse(f"guardian: {{anomalies: {{error: {{track_codes: [A]}}}}}}\nx:\n{codes}")
    assert "more than 10000 values" in problem


def test_a_hundred_problems_are_shown_and_the_rest_counted(refuse: Refuse) -> None:
    """Likewise the nearest names, which take long to find."""
    codes = ", ".join(f"ENOTACODE{number}" for number in range(5000))
    problems = refuse(f"guardian: {{anomalies: {{error: {{track_codes: [{codes}]}}}}}}")
    assert len(problems) == 101
    assert "ENOTACODE0" in problems[0]
    assert problems[-1].endswith(": (file): 4900 more errors are not shown")


def test_a_hundred_warnings_are_shown_and_the_rest_counted(accept: Accept) -> None:
    """They do not fill the log at each start."""
    config = accept(f"watcher: {{actions: [{', '.join(['dmesg'] * 301)}]}}")
    assert len(config.warnings) == 101
    assert str(config.warnings[-1]).endswith(": (file): 200 more warnings are not shown")


def test_there_are_at_most_a_hundred_anomalies(accept: Accept, refuse: Refuse) -> None:
    """Each looks at every request."""
    text = "\n".join(f"    a{n}: {{type: drift}}" for n in range(100))
    assert len(accept(f"guardian:\n  anomalies:\n{text}").anomalies) == 102
    assert refuse(f"guardian:\n  anomalies:\n{text}\n    one_more: {{type: drift}}") == [
        "f:3:5: guardian.anomalies: expected at most 100 entries, found 101"
    ]


def test_there_are_at_most_a_hundred_rules(refuse: Refuse) -> None:
    """Each looks at every failure."""
    rules = ", ".join(f"{{name: r{n}, track_codes: [EIO]}}" for n in range(101))
    (problem,) = refuse(f"guardian: {{anomalies: {{error: {{rules: [{rules}]}}}}}}")
    assert problem.endswith(".rules: expected a list of 1 to 100 rules, found 101")


@pytest.mark.parametrize(
    "value", ["1:" * 211 + "1.5", "9" * 4000, "1:" * 100_000 + "1", "0b" + "1" * 500_000]
)
def test_numbers_of_many_digits_are_refused_at_once(refuse: Refuse, value: str) -> None:
    """YAML 1.1 has numbers of base 60, which overflow a float or take minutes."""
    (problem,) = refuse(f"watch_interval_sec: {value}")
    assert problem.startswith("f:1:21: watch_interval_sec: expected a value of type ")
    assert len(problem) < 150


def test_a_long_key_is_shortened(refuse: Refuse) -> None:
    """Wherever it is part of a path."""
    key = "k" * 100_000
    (problem,) = refuse(f"recorder: {{? {key} : 1}}")
    assert "recorder.'kkk" in problem
    assert len(problem) < 200


def test_a_file_without_data_yet_is_refused(tmp_path: Path) -> None:
    """The kernel has "regular" files that answer EAGAIN; here, a pipe in place of one."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    original = os.open

    class _Opened:
        def __call__(self, path: str, flags: int, *rest: int, **named: int) -> int:
            return (
                os.dup(reader) if path == str(tmp_path) else original(path, flags, *rest, **named)
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", _Opened())
        patch.setattr("stat.S_ISREG", lambda _mode: True)
        with pytest.raises(ConfigError, match="cannot be read: Resource temporarily unavailable"):
            load(tmp_path)
    os.close(reader)
    os.close(writer)


def test_the_worst_megabyte_takes_little_memory(tmp_path: Path) -> None:
    """What is refused is refused before it is built."""
    file = tmp_path / "c.yaml"
    file.write_text("a: [" + "[],{}," * 170_000 + "]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(ConfigError, match="more than 10000 values"):
        load(file)
    assert time.process_time() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
