# SPDX-License-Identifier: MIT
"""YAML itself: positions, duplicates, aliases, and text that is not YAML."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import Config
from aodasync.config.model import ErrorAnomaly, LatencyAnomaly

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a remark\n", "---\n", "null", "~"])
def test_a_file_without_settings_is_refused(refuse: Refuse, text: str) -> None:
    """More likely it was cut off; ``{}`` says that defaults are wanted."""
    assert refuse(text) == [
        "f:1:1: (file): found no settings; a mapping is right ({} takes every default)"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("watcher:\n\tactions: []", "f:2:1: (file): found a tab; YAML indents with spaces"),
        ("a: b: c", "f:1:5: (file): not valid YAML: mapping values are not allowed here"),
        (
            "audit: {enabled: true",
            (
                "f:1:22: (file): not valid YAML: while parsing a flow mapping, "
                "expected ',' or '}', but got '<stream end>'"
            ),
        ),
        (
            "{}\n---\n{}",
            (
                "f:2:1: (file): not valid YAML: expected a single document in the stream, "
                "but found another document"
            ),
        ),
        ("a: *b", "f:1:4: (file): not valid YAML: found undefined alias 'b'"),
        ("a: \x01", "f:1:4: (file): found the character U+0001, which YAML does not allow"),
        ("a: 1\nb:\x00", "f:2:3: (file): found the character U+0000, which YAML does not allow"),
    ],
)
def test_syntax_errors_have_a_position(refuse: Refuse, text: str, problem: str) -> None:
    """And the words of the parser."""
    assert refuse(text) == [problem]


@pytest.mark.parametrize("text", ['"\\UFFFFFFFF"', '"\\U00110000"', f"%YAML {'9' * 5000}.1\n---\n"])
def test_numbers_beyond_all_bounds_in_the_syntax_are_syntax_errors(
    refuse: Refuse, text: str
) -> None:
    """PyYAML lets the interpreter's own errors through."""
    (problem,) = refuse(text)
    assert problem.startswith("f:1:")
    assert ": (file): not valid YAML: " in problem


@pytest.mark.parametrize("text", ["[" * 40 + "]" * 40, "{a: " * 5000])
def test_deep_nesting_is_refused(refuse: Refuse, text: str) -> None:
    """Long before the interpreter's stack ends."""
    (problem,) = refuse(text)
    assert "nested more than 32 levels deep" in problem


def test_a_duplicate_key_names_both_lines(refuse: Refuse) -> None:
    """PyYAML silently takes the last one, which is how settings get lost."""
    assert refuse("""
        cleanup:
          max_log_age_days: 1
          min_free_mb: 5
          max_log_age_days: 3
        """) == [
        "f:4:3: cleanup.max_log_age_days: found twice, in line 2 and in line 4; once is right"
    ]


def test_anchors_and_merges_are_yaml(accept: Accept) -> None:
    """An alias repeats a value; << brings in keys, and the mapping's own ones win."""
    config = accept("""
        watcher: {actions: &some [dmesg, stats]}
        guardian:
          anomalies:
            latency: &common
              actions: *some
              acceptable_count: 3
              cooldown_sec: 5
            error:
              <<: *common
              acceptable_count: 7
            hang:
              <<: [{cooldown_sec: 9}, {cooldown_sec: 8, age_ms: 70}]
        """)
    latency, error, hang = config.anomalies[:3]
    assert isinstance(latency, LatencyAnomaly)
    assert isinstance(error, ErrorAnomaly)
    assert latency.actions == error.actions == ("dmesg", "stats")
    assert (latency.acceptable_count, error.acceptable_count) == (3, 7)
    assert (latency.cooldown_sec, error.cooldown_sec, hang.cooldown_sec) == (5, 5, 9)


def test_faults_in_an_alias_are_where_its_value_is_written(refuse: Refuse) -> None:
    """The key is the one that uses it."""
    assert refuse("""
        watch_interval_sec: &x fast
        cleanup: {min_free_mb: *x}
        """) == [
        (
            "f:1:21: cleanup.min_free_mb: "
            "found the text 'fast'; a number from 0 to 10000000 is right"
        ),
        "f:1:21: watch_interval_sec: found the text 'fast'; a number from 0.01 to 3600 is right",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "watcher: &w {actions: *w}",
            "f:1:10: watcher.actions: found an alias of what it is part of; write it out",
        ),
        (
            "watcher: &w {<<: *w}",
            "f:1:10: watcher.<<: found an alias of what it is part of; write it out",
        ),
        ("<<: 7", "f:1:5: <<: found the number 7; an alias of a mapping is right"),
        (
            "watch_interval_sec: !!python/name:os.system x",
            (
                "f:1:21: watch_interval_sec: found the tag "
                "'tag:yaml.org,2002:python/name:os.system'; a plain value is right"
            ),
        ),
        (
            "watch_interval_sec: !!int fast",
            "f:1:21: watch_interval_sec: found 'fast', which is no int",
        ),
        ("1: 2", "f:1:1: (file): found the number 1 as a key; a key is text (quote it)"),
        (
            "cleanup: {on: 2}",
            "f:1:11: cleanup: found the boolean true as a key; a key is text (quote it)",
        ),
        ("? [a]\n: 2", "f:1:3: (file): found a list as a key; a key is text (quote it)"),
        ('"a\\nb": 2', "f:1:1: 'a\\nb': unknown key; known here: "),
    ],
)
def test_odd_yaml_is_refused_once_and_on_one_line(refuse: Refuse, text: str, problem: str) -> None:
    """Tags, loops, and keys that are not text."""
    (found,) = refuse(text)
    assert found.startswith(problem)


def test_long_text_is_shortened_in_messages(refuse: Refuse) -> None:
    """A message stays readable."""
    (problem,) = refuse(f"aod_output_dir: {'x' * 5000}")
    assert len(problem) < 150


def test_positions_count_characters_and_lines_of_any_ending(refuse: Refuse) -> None:
    """Not bytes; and CRLF is one line end."""
    assert refuse("audit: {enabled: true}\r\nrecorder: {'ünï': 1, max_events: x}\r\n")[1] == (
        "f:2:34: recorder.max_events: "
        "found the text 'x'; a whole number from 1000 to 10000000 is right"
    )
