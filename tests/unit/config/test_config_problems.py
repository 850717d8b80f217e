# SPDX-License-Identifier: MIT
"""What is reported of a wrong file: where, which key, what is expected, what was found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import Config, loads
from aodasync.errors import ConfigError

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def test_all_problems_are_reported_at_once_in_file_order(refuse: Refuse) -> None:
    """One round of fixing is enough, whatever kinds of faults there are."""
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
        "f:2:17: aod_output_dir: expected an absolute path, found 'logs'",
        "f:3:10: watcher: expected a mapping, found a list",
        (
            "f:7:13: guardian.anomalies.latency.mode: expected one of all, "
            "trackonly, excludeonly, found 'trackonley'; did you mean 'trackonly'?"
        ),
        (
            "f:8:25: guardian.anomalies.latency.acceptable_count: "
            "expected a whole number from 0 on, found 2.5"
        ),
        (
            "f:11:20: guardian.anomalies.latency.track_commands[0].threshold: "
            "expected a number from 0 on, found -1"
        ),
        (
            "f:12:18: guardian.anomalies.latency.track_commands[1].command: "
            "expected the name of an SMB2 command, found 'SMB2_RAED'; "
            "did you mean 'SMB2_READ'?"
        ),
        (
            "f:13:9: guardian.anomalies.latency.track_commands[2]: "
            "the required key 'command' is missing"
        ),
        (
            "f:13:20: guardian.anomalies.latency.track_commands[2].threshold: "
            "expected a number from 0 on, found 'fast'"
        ),
        (
            "f:16:23: guardian.anomalies.error.exclude_codes[0]: "
            "expected 'EIO' in one of the two lists, found it tracked in line 15 too"
        ),
        ("f:18:21: cleanup.max_log_age_days: expected a number from 0.001 to 3650, found true"),
        (
            "f:20:12: audit.enabled: expected true or false, found 'yes'; "
            "did you mean true, without quotes?"
        ),
        "f:21:1: audit: expected the key once, found it in line 19 and in line 21",
    ]


@pytest.mark.parametrize(
    "value", ["true", ".nan", ".inf", "-.inf", "'1'", "[1]", "{a: 1}", "", "1e3", "0x_", "1" * 99]
)
def test_only_finite_numbers_are_numbers(refuse: Refuse, value: str) -> None:
    """A boolean is none, quoted digits are text, and nothing at all is not 0."""
    (problem,) = refuse(f"watch_interval_sec: {value}")
    assert problem.startswith("f:1:")
    assert ": watch_interval_sec: expected " in problem


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
        ("recorder: {max_events: 5}", "1000 to 1000000"),
        ("cleanup: {cleanup_interval_sec: 0}", "0.1 to 86400"),
        ("cleanup: {max_log_age_days: 0}", "0.001 to 3650"),
        ("cleanup: {max_total_log_size_mb: -1}", "0.001 to 10000000"),
        ("cleanup: {min_free_mb: -1}", "0 to 10000000"),
        ("guardian: {anomalies: {latency: {default_threshold_ms: -1}}}", "0 on"),
        ("guardian: {anomalies: {latency: {emergency_threshold_ms: 0}}}", "1 to 86400000"),
        ("guardian: {anomalies: {drift: {cooldown_sec: -1}}}", "0 to 86400"),
        ("guardian: {anomalies: {hang: {age_ms: 0}}}", "1 to 86400000"),
    ],
)
def test_every_number_has_bounds(refuse: Refuse, line: str, bounds: str) -> None:
    """They are in the message."""
    (problem,) = refuse(line)
    assert f"number from {bounds}, found " in problem


@pytest.mark.parametrize(
    ("found", "meant"),
    [("EOI", "EIO"), ("EACCESS", "EACCES"), ("ENOSCP", "ENOSPC"), ("ESRCH ", "ESRCH")],
)
def test_two_letters_that_changed_places_are_the_likeliest_mistake(
    refuse: Refuse, found: str, meant: str
) -> None:
    """Of names that are as near as others the one of the same letters is meant."""
    (problem,) = refuse(f"guardian: {{anomalies: {{error: {{track_codes: ['{found}']}}}}}}")
    assert problem.endswith(f"; did you mean '{meant}'?")


def test_a_number_of_too_many_digits_is_told_so(refuse: Refuse) -> None:
    """It is of the right type."""
    (problem,) = refuse(f"recorder: {{max_events: 1{'0' * 200}}}")
    assert "max_events: expected a value of type int of 1-100 digits, found" in problem


def test_a_dash_without_a_blank_makes_no_list(refuse: Refuse) -> None:
    """YAML takes all of its lines for one text."""
    (problem,) = refuse("""
        watcher:
          actions:
            -dmesg
            -stats
        """)
    assert problem == (
        "f:3:5: watcher.actions: expected a list, found '-dmesg -stats' (it ends in line 4); "
        "a dash needs a blank after it"
    )


def test_a_whole_number_may_be_written_with_a_fraction_of_zero(accept: Accept) -> None:
    """As JSON Schema has it."""
    assert accept("recorder: {max_events: 2000.0}").recorder.max_events == 2000


@pytest.mark.parametrize("path", ["logs", "./logs", "''", "7"])
def test_the_output_directory_is_an_absolute_path(refuse: Refuse, path: str) -> None:
    """So is any other path of a file."""
    (problem,) = refuse(f"aod_output_dir: {path}")
    assert problem.startswith("f:1:17: aod_output_dir: expected an absolute path, found ")


@pytest.mark.parametrize("path", ['"/a\\nb"', '"/a\\0"', '"/\\uD800"', "|\n  /var/log/aod\n"])
def test_the_output_directory_can_be_shown_in_a_line(refuse: Refuse, path: str) -> None:
    """A block of text ends with a line end, which the message has to say: the path is absolute."""
    (problem,) = refuse(f"aod_output_dir: {path}")
    assert ": aod_output_dir: expected an absolute path without control characters, " in problem


def test_unknown_keys_are_reported_with_the_known_ones(refuse: Refuse) -> None:
    """Where none is near, all are named."""
    assert refuse("recorder: {zzz: 1}") == [
        "f:1:12: recorder.zzz: unknown key; expected one of max_events, ring_bytes, file_names"
    ]


def test_unknown_names_get_the_nearest_one_in_any_case(refuse: Refuse) -> None:
    """AODv2 wants capitals too."""
    (problem,) = refuse("guardian: {anomalies: {error: {track_codes: [eacces]}}}")
    assert problem.endswith("; did you mean 'EACCES'?")


def test_a_status_that_is_no_error_is_no_code(refuse: Refuse) -> None:
    """STATUS_SUCCESS would never count."""
    (problem,) = refuse("guardian: {anomalies: {error: {track_codes: [STATUS_SUCCESS]}}}")
    assert "expected the name of an errno, or the name or number of an NTSTATUS error" in problem


@pytest.mark.parametrize("name", ["../etc", "a b", "a.b", "''", "-a", "x" * 49, "ü"])
def test_names_that_become_files_are_safe(refuse: Refuse, name: str) -> None:
    """An anomaly's name is part of a bundle's name, an action's of a file's."""
    for text in (
        f"guardian: {{anomalies: {{{name}: {{type: drift}}}}}}",
        f"actions: {{{name}: {{command: [ls]}}}}",
    ):
        (problem,) = refuse(text)
        assert ": expected up to 48 letters, digits, _ and -, found " in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "f:1:1: (file): expected a mapping, found a list"),
        ("7", "f:1:1: (file): expected a mapping, found 7"),
        ("guardian: 7", "f:1:11: guardian: expected a mapping, found 7"),
        (
            "guardian: {anomalies: [latency]}",
            "f:1:23: guardian.anomalies: expected a mapping, found a list",
        ),
        (
            "guardian: {anomalies: {hang: 5000}}",
            "f:1:30: guardian.anomalies.hang: expected a mapping, found 5000",
        ),
        (
            "guardian: {anomalies: {error: {track_codes: EIO}}}",
            "f:1:45: guardian.anomalies.error.track_codes: expected a list, found 'EIO'",
        ),
        (
            "guardian: {anomalies: {error: {mode: trackonly, track_codes: EIO}}}",
            "f:1:62: guardian.anomalies.error.track_codes: expected a list, found 'EIO'",
        ),
        (
            "guardian: {anomalies: {latency: {track_commands: [SMB2_READ]}}}",
            (
                "f:1:51: guardian.anomalies.latency.track_commands[0]: "
                "expected a mapping with the key 'command', found 'SMB2_READ'"
            ),
        ),
        (
            "guardian: {anomalies: {latency: {tool: [smbslower]}}}",
            "f:1:40: guardian.anomalies.latency.tool: expected text, found a list",
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


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("'20'", "20"),
        ("1e3", "1000"),
        ("'2.5'", "2.5"),
        ("\uff11", "1"),
        ("'5000'", None),
        ("20s", None),
    ],
)
def test_a_number_that_yaml_takes_for_text_is_named(
    refuse: Refuse, value: str, meant: str | None
) -> None:
    """In quotes, or with an exponent that YAML 1.1 does not know; one out of bounds is not."""
    (problem,) = refuse(f"watch_interval_sec: {value}")
    assert problem.endswith(f"; did you mean {meant}, without quotes?" if meant else "'")


@pytest.mark.parametrize(("value", "meant"), [("y", "true"), ("'No'", "false"), ("tRUE", "true")])
def test_a_flag_that_yaml_takes_for_text_is_named(refuse: Refuse, value: str, meant: str) -> None:
    """``y`` is none, nor is anything in quotes."""
    (problem,) = refuse(f"audit: {{enabled: {value}}}")
    assert problem.endswith(f"; did you mean {meant}, without quotes?")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("anomalies: {nfs: {latency: {exclude_commands: [READ]}}}", "NFSPROC4_CLNT_READ"),
        ("anomalies: {smb: {error: {track_errors: [disk_full]}}}", "STATUS_DISK_FULL"),
        ("anomalies: {smb: {error: {track_codes: [STATUS_DISK_FULL]}}}", "track_errors"),
        ("guardian: {anomalies: {error: {track_errors: [EIO]}}}", "track_codes"),
    ],
)
def test_what_another_format_or_manual_calls_it_is_known(
    refuse: Refuse, text: str, meant: str
) -> None:
    """Names without their prefix, and the key of AODv2's other format."""
    assert f"; did you mean '{meant}'?" in refuse(text)[0]


def test_a_refusal_exits_78() -> None:
    """EX_CONFIG of sysexits.h."""
    with pytest.raises(ConfigError) as caught:
        loads("7", "f")
    assert caught.value.exit_code == 78


def test_a_tiny_disk_budget_is_warned_of(accept: Accept) -> None:
    """AODv2 ships half a megabyte; the default is quiet."""
    config = accept("cleanup:\n  max_total_log_size_mb: 0.5")
    assert tuple(map(str, config.warnings)) == (
        (
            "f:2:26: cleanup.max_total_log_size_mb: expected 20 or more, "
            "found 0.5: bundles are cut short; 200 is a good size"
        ),
    )
    assert not accept("cleanup: {max_total_log_size_mb: 20}").warnings
