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
    assert refuse(text) == ["f:1:1: (file): expected a mapping ({} is all defaults), found nothing"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("watcher:\n\tactions: []", "f:2:1: (file): expected spaces, found a tab"),
        (
            "a: b: c",
            (
                "f:1:5: (file): not valid YAML: mapping values are not allowed here; "
                "a key's colon needs a blank after it, a text with a colon needs quotes"
            ),
        ),
        (
            "a: 1\nb:2\nc: 3",
            ("f:2:1: (file): not valid YAML: expected KEY: VALUE, with a blank after the colon"),
        ),
        (
            "a:\n  b: 1\n c: 2",
            (
                "f:3:2: (file): not valid YAML: while parsing a block mapping, "
                "expected <block end>, but found '<block mapping start>'; "
                "it begins in line 1; is the indentation right, here or in line 2?"
            ),
        ),
        (
            "a:\n   b:\n     c: 1\n  d: 2",
            (
                "f:4:3: (file): not valid YAML: while parsing a block mapping, "
                "expected <block end>, but found '<block mapping start>'; "
                "it begins in line 1; is the indentation right, here or in line 2?"
            ),
        ),
        (
            "a: &x\n   b: 1\nc: *x\n  d: 2",
            (
                "f:4:3: (file): not valid YAML: while parsing a block mapping, "
                "expected <block end>, but found '<block mapping start>'; "
                "it begins in line 1; is the indentation right?"
            ),
        ),
        (
            "a:\n- b: 1\nc: 2\n- d: 3",
            (
                "f:4:1: (file): not valid YAML: while parsing a block mapping, "
                "expected <block end>, but found '-'; it begins in line 1; "
                "is the indentation right, and no dash missing above it?"
            ),
        ),
        (
            "a 1\n\n# more\nb: 2",
            "f:1:1: (file): not valid YAML: expected KEY: VALUE, with a blank after the colon",
        ),
        (
            "a:\n  type Error\n  # more\n  b: 2",
            (
                "f:2:3: (file): not valid YAML: expected KEY: VALUE, with a blank after the "
                "colon; or is the indentation of line 4 right?"
            ),
        ),
        (
            "a:\n  -b # more\n  - c",
            (
                "f:2:3: (file): not valid YAML: expected - ITEM, with a blank after the dash; "
                "or is the indentation of line 3 right?"
            ),
        ),
        (
            "a: 1\nb: {c: 1\n\n",
            (
                "f:4:1: (file): not valid YAML: while parsing a flow mapping, "
                "expected ',' or '}', but got '<stream end>'; it begins in line 2"
            ),
        ),
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
        (
            "cleanup:\n  max_log_age_days 2\n  min_free_mb: 3",
            "f:2:3: (file): not valid YAML: expected KEY: VALUE, with a blank after the colon",
        ),
        (
            "a:\n  b: all\n    c: 3",
            (
                "f:3:5: (file): not valid YAML: it goes on with the text of line 2; "
                "is the indentation of line 3 right?"
            ),
        ),
        (
            "a:\n- command SMB2_READ\n  threshold: 3",
            (
                "f:2:3: (file): not valid YAML: expected KEY: VALUE, with a blank after the "
                "colon; or is the indentation of line 3 right?"
            ),
        ),
        (
            "a:\n- dmesg\n-stats\nb: 1",
            "f:3:1: (file): not valid YAML: expected - ITEM, with a blank after the dash",
        ),
        (
            "  a: 1\nb: 2",
            (
                "f:2:1: (file): not valid YAML: expected nothing more, as what is above it is "
                "complete; is the indentation right, here or in line 1?"
            ),
        ),
        (
            'a: b\nc: "d\n e": 3',
            (
                "f:3:4: (file): not valid YAML: mapping values are not allowed here; "
                "a key's colon needs a blank after it, a text with a colon needs quotes"
            ),
        ),
        (
            "a: &x {b: 1}\nc: &x {}",
            (
                "f:2:4: (file): not valid YAML: expected an anchor once, "
                "found it in line 1 and in line 2"
            ),
        ),
        ("a: \x01", "f:1:4: (file): YAML does not allow the character U+0001"),
        ("a: 1\nb:\x00", "f:2:3: (file): YAML does not allow the character U+0000"),
    ],
)
def test_syntax_errors_have_a_position(refuse: Refuse, text: str, problem: str) -> None:
    """And the words of the parser."""
    assert refuse(text) == [problem]


_MORE = "(file): not valid YAML: expected nothing more after this text in quotes, found a text in"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('a: "x\nb: "y"\n', f"f:1:4: {_MORE} line 2, column 5; is a quote or a comma missing?"),
        ("a: 'it's'\n", f"f:1:4: {_MORE} line 1, column 8; is a quote or a comma missing?"),
        ("a: ['b', 'c, 'd']", f"f:1:10: {_MORE} line 1, column 15; is a quote or a comma missing?"),
        ('a: ["b" "c"]', f"f:1:5: {_MORE} line 1, column 9; is a quote or a comma missing?"),
        (
            'a: 1\nb: "c\nd: 2\n',
            (
                "f:2:4: (file): not valid YAML: "
                "expected a quote at the end of this text, found the file's end"
            ),
        ),
        (
            "a: |\n  b\n c\nd: 1\n",
            (
                "f:3:2: (file): not valid YAML: while parsing a block mapping, expected "
                "<block end>, but found '<scalar>'; it begins in line 1; is the indentation right?"
            ),
        ),
        (
            'a: "b"\n c\nd: 1\n',
            (
                "f:2:2: (file): not valid YAML: while parsing a block mapping, expected "
                "<block end>, but found '<scalar>'; it begins in line 1; is the indentation right?"
            ),
        ),
    ],
)
def test_a_missing_quote_is_told_where_its_text_begins(
    refuse: Refuse, text: str, problem: str
) -> None:
    """YAML notices it at the next quote, or at the end of the file."""
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
        "f:4:3: cleanup.max_log_age_days: expected the key once, found it in line 2 and in line 4"
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
        ("f:1:21: cleanup.min_free_mb: expected a number from 0 to 10000000, found 'fast'"),
        "f:1:21: watch_interval_sec: expected a number from 0.01 to 3600, found 'fast'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "watcher: &w {actions: *w}",
            "f:1:10: watcher.actions: an alias cannot be part of the value it stands for",
        ),
        (
            "watcher: &w {<<: *w}",
            "f:1:10: watcher.<<: an alias cannot be part of the value it stands for",
        ),
        ("<<: 7", "f:1:5: <<: expected an alias of a mapping, found 7"),
        (
            "watch_interval_sec: !!python/name:os.system x",
            (
                "f:1:21: watch_interval_sec: expected a plain value, found "
                "the tag 'tag:yaml.org,2002:python/name:os.system'"
            ),
        ),
        (
            "watch_interval_sec: !!int fast",
            "f:1:21: watch_interval_sec: expected a value of type int, found 'fast'",
        ),
        ("1: 2", "f:1:1: (file): expected text as a key (quote it), found 1"),
        (
            "cleanup: {on: 2}",
            "f:1:11: cleanup: expected text as a key (quote it), found on",
        ),
        ("? [a]\n: 2", "f:1:3: (file): expected text as a key (quote it), found a list"),
        ('"a\\nb": 2', "f:1:1: 'a\\nb': unknown key; expected one of "),
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
        "f:2:34: recorder.max_events: expected a whole number from 1000 to 1000000, found 'x'"
    )


def test_a_text_that_runs_on_names_the_line_in_which_it_ends(refuse: Refuse) -> None:
    """That line has a blank too many; its dash is taken for a part of the text."""
    assert refuse("""
        guardian:
          anomalies:
            error:
              mode: trackonly
              track_codes:
                - EIO
                - EPERM
                 - EACCES
        """) == [
        (
            "f:7:11: guardian.anomalies.error.track_codes[1]: expected the name of an errno, or "
            "the name or number of an NTSTATUS error, found 'EPERM - EACCES' (it ends in line 8); "
            "did you mean 'EACCES'?"
        )
    ]
    assert refuse("aod_output_dir: >-\n  a\n  b\n") == [
        "f:1:17: aod_output_dir: expected an absolute path, found 'a b'"
    ]


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_lines_are_those_of_editors(refuse: Refuse, character: str) -> None:
    """These characters, which come with pasted text, end a line for YAML alone."""
    assert refuse(f"# as told by mail{character}\nwatch_interval_sec: fast\n") == [
        "f:2:21: watch_interval_sec: expected a number from 0.01 to 3600, found 'fast'"
    ]
    (problem,) = refuse(f"audit: {{}}\n# as told{character}by mail\ncleanup: {{}}\n")
    assert problem.startswith("f:2:1: (file): not valid YAML: expected KEY: VALUE")
