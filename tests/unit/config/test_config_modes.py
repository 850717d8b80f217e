# SPDX-License-Identifier: MIT
"""What the modes make of the tracked and the excluded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import Config
from aodasync.config.model import ErrorAnomaly, LatencyAnomaly
from aodasync.smb.commands import COMMANDS
from aodasync.smb.errnos import ERRNOS

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def _latency(config: Config) -> LatencyAnomaly:
    (anomaly,) = (a for a in config.anomalies if isinstance(a, LatencyAnomaly))
    return anomaly


def _error(config: Config) -> ErrorAnomaly:
    (anomaly,) = (a for a in config.anomalies if isinstance(a, ErrorAnomaly))
    return anomaly


def test_mode_all_tracks_every_command_but_the_excluded(accept: Accept) -> None:
    """Tracked commands have their thresholds, 0 and fractions included, others the default."""
    latency = _latency(
        accept("""
            guardian:
              anomalies:
                latency:
                  default_threshold_ms: 20
                  track_commands:
                  - {command: SMB2_READ, threshold: 2.5}
                  - {command: SMB2_IOCTL, threshold: 0}
                  - {command: SMB2_WRITE}
                  exclude_commands: [SMB2_ECHO]
            """)
    )
    expected = dict.fromkeys(COMMANDS, 20.0) | {"SMB2_READ": 2.5, "SMB2_IOCTL": 0.0}
    del expected["SMB2_ECHO"]
    assert latency.thresholds_ms == expected
    assert list(latency.thresholds_ms) == [name for name in COMMANDS if name != "SMB2_ECHO"]
    assert latency.named_commands == {"SMB2_READ", "SMB2_IOCTL", "SMB2_WRITE"}


def test_mode_trackonly_tracks_the_named_commands(accept: Accept) -> None:
    """In command order, with the default threshold where none is given."""
    latency = _latency(
        accept("""
            guardian:
              anomalies:
                latency:
                  mode: trackonly
                  track_commands:
                  - {command: SMB2_CREATE, threshold: 500}
                  - {command: SMB2_LOGOFF}
            """)
    )
    assert list(latency.thresholds_ms.items()) == [("SMB2_LOGOFF", 10.0), ("SMB2_CREATE", 500.0)]


def test_mode_excludeonly_ignores_what_is_tracked(accept: Accept) -> None:
    """Every command that is not excluded has the default threshold; none counts as named."""
    config = accept("""
        guardian:
          anomalies:
            latency:
              mode: excludeonly
              track_commands: [{command: SMB2_READ, threshold: 1}]
              exclude_commands: [SMB2_WRITE]
        """)
    latency = _latency(config)
    assert latency.thresholds_ms == {n: 10.0 for n in COMMANDS if n != "SMB2_WRITE"}
    assert not latency.named_commands
    assert tuple(map(str, config.warnings)) == (
        "f:5:7: guardian.anomalies.latency.track_commands: ignored in mode excludeonly",
    )


def test_nothing_in_an_ignored_list_is_looked_at(accept: Accept) -> None:
    """An ignored list may repeat what the other says, or hold what nobody knows, as in AODv2."""
    config = accept("""
        guardian:
          anomalies:
            error:
              mode: trackonly
              track_codes: [EIO]
              exclude_codes: [EIO, ENOTACODE]
        """)
    assert _error(config).codes == ("EIO",)
    assert len(config.warnings) == 1


def test_an_empty_unused_list_gives_no_warning(accept: Accept) -> None:
    """Nothing is lost by ignoring nothing."""
    config = accept("""
        guardian:
          anomalies:
            error: {mode: excludeonly, track_codes: [], exclude_codes: [EIO]}
            latency: {mode: excludeonly, track_commands: , exclude_commands: [SMB2_ECHO]}
        """)
    assert config.warnings == ()


def test_codes_of_mode_all_are_aodv2s_130(accept: Accept) -> None:
    """Sorted, without the excluded."""
    error = _error(accept("guardian: {anomalies: {error: {exclude_codes: [ENOENT]}}}"))
    assert error.codes == tuple(sorted(ERRNOS.keys() - {"ENOENT"}))
    assert len(error.codes) == 129
    assert error.statuses == ()


def test_nt_statuses_stand_beside_the_errnos(accept: Accept) -> None:
    """A tracked or excluded NTSTATUS name changes nothing in the list of errnos."""
    error = _error(
        accept("""
            guardian:
              anomalies:
                error:
                  track_codes: [STATUS_LOGON_FAILURE, EIO, STATUS_ACCESS_DENIED]
                  exclude_codes: [STATUS_OBJECT_NAME_NOT_FOUND]
            """)
    )
    assert len(error.codes) == 130
    assert error.statuses == ("STATUS_ACCESS_DENIED", "STATUS_LOGON_FAILURE")
    assert error.excluded_statuses == {"STATUS_OBJECT_NAME_NOT_FOUND"}
    assert error.named_codes == {"EIO", "STATUS_LOGON_FAILURE", "STATUS_ACCESS_DENIED"}


def test_trackonly_may_name_statuses_alone(accept: Accept) -> None:
    """An NTSTATUS is something to watch; no errno is then tracked."""
    error = _error(
        accept("guardian: {anomalies: {error: {mode: trackonly, track_codes: [STATUS_PENDING]}}}")
    )
    assert (error.codes, error.statuses) == ((), ("STATUS_PENDING",))


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("EWOULDBLOCK", "EAGAIN"),
        ("EDEADLK", "EDEADLOCK"),
        ("EOPNOTSUPP", "ENOTSUP"),
    ],
)
def test_errno_aliases_become_aodv2s_names(accept: Accept, alias: str, name: str) -> None:
    """One number has one name, however the file calls it."""
    text = f"guardian: {{anomalies: {{error: {{mode: trackonly, track_codes: [{alias}]}}}}}}"
    assert _error(accept(text)).codes == (name,)


def test_aliases_collide_with_what_they_stand_for(refuse: Refuse) -> None:
    """EWOULDBLOCK tracked and EAGAIN excluded contradict each other."""
    text = "guardian: {anomalies: {error: {track_codes: [EWOULDBLOCK], exclude_codes: [EAGAIN]}}}"
    assert refuse(text) == [
        (
            "f:1:76: guardian.anomalies.error.exclude_codes[0]: "
            "expected 'EAGAIN' in one of the two lists, found it tracked in line 1 too"
        )
    ]


def test_a_code_named_twice_is_only_warned_of(accept: Accept) -> None:
    """As in AODv2; it is tracked once."""
    config = accept("""
        guardian:
          anomalies:
            error:
              mode: trackonly
              track_codes:
              - EIO
              - EACCES
              - EIO
        """)
    assert _error(config).codes == ("EACCES", "EIO")
    assert tuple(map(str, config.warnings)) == (
        (
            "f:8:9: guardian.anomalies.error.track_codes[2]: "
            "found 'EIO' again, after line 6; once is enough"
        ),
    )


def test_the_last_threshold_of_a_command_counts(accept: Accept) -> None:
    """As in AODv2, and it is said."""
    config = accept("""
        guardian:
          anomalies:
            latency:
              mode: trackonly
              track_commands:
              - {command: SMB2_READ, threshold: 1}
              - {command: SMB2_READ, threshold: 7}
        """)
    assert _latency(config).thresholds_ms == {"SMB2_READ": 7.0}
    assert "again, after line 6; the last one counts" in str(config.warnings[0])


@pytest.mark.parametrize(
    ("body", "place", "at"),
    [
        ("{mode: trackonly}", "5", "error.track_codes"),
        ("{mode: trackonly, track_codes: []}", "30", "error.track_codes"),
        (f"{{exclude_codes: {list(ERRNOS)}}}".replace("'", ""), "13", "error.exclude_codes"),
    ],
)
def test_an_anomaly_that_nothing_can_set_off_is_refused(
    refuse: Refuse, body: str, place: str, at: str
) -> None:
    """As in AODv2, at the list that leaves nothing, else at the anomaly."""
    (problem,) = refuse(f"guardian:\n  anomalies:\n    error: {body}")
    assert problem.startswith(
        f"f:3:{place}: guardian.anomalies.{at}: expected at least one code to watch"
    )


def test_a_threshold_or_a_count_that_means_never_is_right(accept: Accept) -> None:
    """AODv2 has no limit for them, and neither have we."""
    config = accept("""
        anomalies:
          smb:
            latency:
              acceptable_count: 999999999
              default_threshold_ms: 1000000000000
              track_commands: [{command: SMB2_CHANGE_NOTIFY, threshold: 999999999}]
            error: {rules: [{name: a, acceptable_count: 999999999, track_commands: [SMB2_READ]}]}
        """)
    latency = _latency(config)
    assert latency.acceptable_count == 999_999_999
    assert latency.thresholds_ms["SMB2_CHANGE_NOTIFY"] == 999_999_999
    assert latency.thresholds_ms["SMB2_READ"] == 10**12


@pytest.mark.parametrize("never", ["1.0e+15", "99999999999999999999", "1.0e+308"])
def test_thresholds_and_counts_have_no_upper_limit(accept: Accept, never: str) -> None:
    """A file that AODv2 takes is not refused for the size of a number."""
    count = "9" * 20
    latency = _latency(
        accept(f"""
            guardian:
              anomalies:
                latency: {{default_threshold_ms: {never}, acceptable_count: {count}}}
            """)
    )
    assert latency.thresholds_ms["SMB2_READ"] == float(never)
    assert latency.acceptable_count == int(count)


@pytest.mark.parametrize("never", [".inf", ".nan"])
def test_what_is_no_number_is_no_threshold(refuse: Refuse, never: str) -> None:
    """JSON has neither; a large number says the same."""
    (problem,) = refuse(f"guardian: {{anomalies: {{latency: {{default_threshold_ms: {never}}}}}}}")
    assert f"expected a number from 0 on, found {never[1:]}" in problem
