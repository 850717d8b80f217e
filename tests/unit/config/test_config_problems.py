# SPDX-License-Identifier: MIT
"""What is told of a wrong file: where, which key, what was found, what would be right."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import Config, loads
from aodasync.errors import ConfigError

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def test_all_problems_are_told_at_once_in_file_order(refuse: Refuse) -> None:
    """One round of mending is enough, whatever kinds of faults there are."""
    assert refuse("""
        watch_intervall_sec: 1
        aod_output_dir: logs
        watcher: [dmesg]
        guardian:
          anomalies:
            latency:
              mode: trackonley
              acceptable_count: 2.5
              track_commands:
              - command: SMB2_READ
                threshold: -1
              - command: SMB2_RAED
              - threshold: fast
            error:
              track_codes: [EIO]
              exclude_codes: [EIO]
        cleanup:
          max_log_age_days: true
        audit:
          enabled: "yes"
        audit:
        """) == [
        "f:1:1: watch_intervall_sec: unknown key; did you mean 'watch_interval_sec'?",
        "f:2:17: aod_output_dir: found the text 'logs'; an absolute path is right",
        "f:3:10: watcher: found a list; a mapping is right",
        (
            "f:7:13: guardian.anomalies.latency.mode: found the text 'trackonley'; "
            "one of all, trackonly, excludeonly is right; did you mean 'trackonly'?"
        ),
        (
            "f:8:25: guardian.anomalies.latency.acceptable_count: "
            "found the number 2.5; a whole number from 0 to 1000000 is right"
        ),
        (
            "f:11:20: guardian.anomalies.latency.track_commands[0].threshold: "
            "found the number -1; a number from 0 to 86400000 is right"
        ),
        (
            "f:12:18: guardian.anomalies.latency.track_commands[1].command: "
            "found the text 'SMB2_RAED'; the name of an SMB2 command is right; "
            "did you mean 'SMB2_READ'?"
        ),
        (
            "f:13:9: guardian.anomalies.latency.track_commands[2]: "
            "found no 'command', which is required"
        ),
        (
            "f:13:20: guardian.anomalies.latency.track_commands[2].threshold: "
            "found the text 'fast'; a number from 0 to 86400000 is right"
        ),
        (
            "f:16:23: guardian.anomalies.error.exclude_codes[0]: "
            "found 'EIO', which line 15 tracks; one of the two is right"
        ),
        (
            "f:18:21: cleanup.max_log_age_days: "
            "found the boolean true; a number from 0.001 to 3650 is right"
        ),
        "f:20:12: audit.enabled: found the text 'yes'; true or false is right",
        "f:21:1: audit: found twice, in line 19 and in line 21; once is right",
    ]


@pytest.mark.parametrize(
    "value", ["true", ".nan", ".inf", "-.inf", "'1'", "[1]", "{a: 1}", "", "1e3", "0x_", "1" * 99]
)
def test_only_finite_numbers_are_numbers(refuse: Refuse, value: str) -> None:
    """A boolean is none, quoted digits are text, and nothing at all is not 0."""
    (problem,) = refuse(f"watch_interval_sec: {value}")
    assert problem.startswith("f:1:")
    assert ": watch_interval_sec: found " in problem


@pytest.mark.parametrize(
    ("line", "bounds"),
    [
        ("watch_interval_sec: 0", "0.01 to 3600"),
        ("watch_interval_sec: 3601", "0.01 to 3600"),
        ("collector: {max_concurrent: 0}", "1 to 64"),
        ("collector: {action_timeout_sec: 0}", "0.1 to 600"),
        ("collector: {max_action_bytes: 1}", "4096 to 1073741824"),
        ("collector: {look_back_sec: -1}", "0 to 86400"),
        ("collector: {max_bundles_per_hour: 0}", "1 to 3600"),
        ("recorder: {max_events: 5}", "1000 to 10000000"),
        ("cleanup: {cleanup_interval_sec: 0}", "0.1 to 86400"),
        ("cleanup: {max_log_age_days: 0}", "0.001 to 3650"),
        ("cleanup: {max_total_log_size_mb: -1}", "0.001 to 10000000"),
        ("cleanup: {min_free_mb: -1}", "0 to 10000000"),
        ("guardian: {anomalies: {latency: {default_threshold_ms: -1}}}", "0 to 86400000"),
        ("guardian: {anomalies: {latency: {emergency_threshold_ms: 0}}}", "1 to 86400000"),
        ("guardian: {anomalies: {drift: {cooldown_sec: -1}}}", "0 to 86400"),
        ("guardian: {anomalies: {hang: {age_ms: 0}}}", "1 to 86400000"),
    ],
)
def test_every_number_has_bounds(refuse: Refuse, line: str, bounds: str) -> None:
    """They are in the message."""
    (problem,) = refuse(line)
    assert problem.endswith(f"number from {bounds} is right")


def test_a_whole_number_may_be_written_with_a_fraction_of_zero(accept: Accept) -> None:
    """As JSON Schema has it."""
    assert accept("recorder: {max_events: 2000.0}").recorder.max_events == 2000


@pytest.mark.parametrize("path", ["logs", "./logs", "''", "7", '"/a\\nb"', '"/a\\0"', '"/\\uD800"'])
def test_the_output_directory_is_an_absolute_path(refuse: Refuse, path: str) -> None:
    """One that can be shown in a line."""
    (problem,) = refuse(f"aod_output_dir: {path}")
    assert problem.startswith("f:1:17: aod_output_dir: found ")


def test_unknown_keys_are_told_with_the_known_ones(refuse: Refuse) -> None:
    """Where none is near, all are named."""
    assert refuse("recorder: {zzz: 1}") == [
        "f:1:12: recorder.zzz: unknown key; known here: max_events, ring_bytes"
    ]


def test_unknown_names_get_the_nearest_one_in_any_case(refuse: Refuse) -> None:
    """AODv2 wants capitals too."""
    (problem,) = refuse("guardian: {anomalies: {error: {track_codes: [eacces]}}}")
    assert problem.endswith("; did you mean 'EACCES'?")


def test_a_status_that_is_no_error_is_no_code(refuse: Refuse) -> None:
    """STATUS_SUCCESS would never count."""
    (problem,) = refuse("guardian: {anomalies: {error: {track_codes: [STATUS_SUCCESS]}}}")
    assert "the name of an errno or NTSTATUS error is right" in problem


@pytest.mark.parametrize("name", ["../etc", "a b", "a.b", "''", "-a", "x" * 49, "ü"])
def test_names_that_become_files_are_safe(refuse: Refuse, name: str) -> None:
    """An anomaly's name is part of a bundle's name, an action's of a file's."""
    for text in (
        f"guardian: {{anomalies: {{{name}: {{type: drift}}}}}}",
        f"actions: {{{name}: {{command: [ls]}}}}",
    ):
        (problem,) = refuse(text)
        assert problem.endswith("found an unsafe name; up to 48 letters, digits, _ and - are right")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "f:1:1: (file): found a list; a mapping is right"),
        ("7", "f:1:1: (file): found the number 7; a mapping is right"),
        ("guardian: 7", "f:1:11: guardian: found the number 7; a mapping is right"),
        (
            "guardian: {anomalies: [latency]}",
            "f:1:23: guardian.anomalies: found a list; a mapping is right",
        ),
        (
            "guardian: {anomalies: {hang: 5000}}",
            "f:1:30: guardian.anomalies.hang: found the number 5000; a mapping is right",
        ),
        (
            "guardian: {anomalies: {error: {track_codes: EIO}}}",
            "f:1:45: guardian.anomalies.error.track_codes: found the text 'EIO'; a list is right",
        ),
        (
            (
                "guardian: {anomalies: {error: {mode: trackonly, exclude_codes: EIO, "
                "track_codes: [EIO]}}}"
            ),
            "f:1:64: guardian.anomalies.error.exclude_codes: found the text 'EIO'; a list is right",
        ),
        (
            "guardian: {anomalies: {latency: {track_commands: [SMB2_READ]}}}",
            (
                "f:1:51: guardian.anomalies.latency.track_commands[0]: "
                "found the text 'SMB2_READ'; a mapping is right"
            ),
        ),
        (
            "guardian: {anomalies: {latency: {tool: [smbslower]}}}",
            "f:1:40: guardian.anomalies.latency.tool: found a list; text is right",
        ),
    ],
)
def test_lists_and_mappings_stand_where_they_belong(
    refuse: Refuse, text: str, problem: str
) -> None:
    """What was found is named by its shape."""
    assert refuse(text) == [problem]


def test_announced_and_empty_is_as_if_absent(accept: Accept) -> None:
    """Whoever comments out all entries of a list or section need not comment out its key."""
    assert accept("""
        watcher:
          actions:
        guardian:
          anomalies:
        collector:
        recorder:
        cleanup:
        audit:
        actions:
        """) == accept("{}")


def test_a_refusal_exits_78() -> None:
    """EX_CONFIG of sysexits.h."""
    with pytest.raises(ConfigError) as caught:
        loads("7", "f")
    assert caught.value.exit_code == 78


def test_a_tiny_disk_budget_is_warned_of(accept: Accept) -> None:
    """AODv2 ships half a megabyte; the default is quiet."""
    config = accept("cleanup:\n  max_total_log_size_mb: 0.5")
    assert config.warnings == (
        (
            "f:2:26: cleanup.max_total_log_size_mb: found the number 0.5; "
            "under 20 MB bundles are cut short; 200 is a good size"
        ),
    )
    assert not accept("cleanup: {max_total_log_size_mb: 20}").warnings
