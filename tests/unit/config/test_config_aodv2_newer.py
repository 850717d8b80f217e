# SPDX-License-Identifier: MIT
"""Rules of AODv2's newer format: protocols, types, actions, captures, rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import DEFAULT_ACTIONS, Config
from aodasync.config.anomalies.rules import ErrorRule
from aodasync.config.model import ErrorAnomaly, LatencyAnomaly

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


_READ = {"smb": "SMB2_READ", "nfs": "NFSPROC4_CLNT_READ", "io": "READ"}


def _warnings(config: Config) -> list[str]:
    return [str(warning) for warning in config.warnings]


def _error(config: Config) -> ErrorAnomaly:
    (anomaly,) = (a for a in config.anomalies if isinstance(a, ErrorAnomaly))
    return anomaly


@pytest.mark.parametrize("text", ["anomalies: {}", "anomalies: {smb: {}}", "anomalies: {smb: }"])
def test_a_file_may_name_no_anomaly(accept: Accept, text: str) -> None:
    """Those that are on by default are on."""
    config = accept(text)
    assert [anomaly.name for anomaly in config.anomalies] == ["hang", "connection", "drift"]
    assert config.anomalies[0].actions == DEFAULT_ACTIONS


@pytest.mark.parametrize("found", ["SMB2_ECHO", "{a: 1}", "7", "[{b: c}]", "", "{}", "0"])
@pytest.mark.parametrize("mode", ["trackonly", "excludeonly"])
def test_the_list_that_a_mode_does_not_use_may_hold_anything(
    accept: Accept, mode: str, found: str
) -> None:
    """AODv2 does not look at it, and warns of one that holds something."""
    unused = "exclude_commands" if mode == "trackonly" else "track_commands"
    used = "[{command: SMB2_READ}]" if mode == "trackonly" else "[SMB2_READ]"
    other = "track_commands" if mode == "trackonly" else "exclude_commands"
    config = accept(
        f"anomalies: {{smb: {{latency: {{mode: {mode}, {other}: {used}, {unused}: {found}}}}}}}"
    )
    warnings = [warning.split(": ", 1)[1] for warning in _warnings(config)]
    ignored = f"anomalies.smb.latency.{unused}: ignored in mode {mode}"
    assert warnings == ([ignored] if found not in ("", "{}", "0") else [])


def test_blanks_around_protocols_and_types_do_not_count(accept: Accept) -> None:
    """AODv2 strips them."""
    config = accept("anomalies: {' Smb': {'SOCKCONN ': {tool: ss}}}")
    assert "connection" in {anomaly.name for anomaly in config.anomalies}


def test_an_unknown_action_is_told_the_known_ones(refuse: Refuse) -> None:
    """As in the older format, where none is near."""
    (problem,) = refuse("anomalies: {smb: {latency: {actions: {screenshot: }}}}")
    assert "found 'screenshot'; expected one of debugdata, dfscache, dmesg, " in problem
    assert "tcpdump, trace-cmd" in problem


def test_the_two_formats_exclude_each_other(refuse: Refuse) -> None:
    """Half of the file would be without effect."""
    assert refuse("guardian: {}\nanomalies: {}") == [
        "f:1:1: guardian: expected one of guardian and anomalies, found both (line 2)"
    ]


def test_our_own_settings_stand_beside_it(accept: Accept) -> None:
    """Limits, actions of one's own, and what every anomaly of ours has."""
    config = accept("""
        anomalies:
          smb:
            latency:
              tool: smbslower
              emergency_threshold_ms: 250
              cooldown_sec: 5
              actions: {routes: , sockets: }
            sockconn: {enabled: false}
        actions: {routes: {command: [ip, route]}}
        recorder: {max_events: 2000}
        """)
    latency = config.anomalies[0]
    assert isinstance(latency, LatencyAnomaly)
    assert (latency.emergency_threshold_ms, latency.cooldown_sec) == (250, 5)
    assert latency.actions == ("routes", "sockets")
    assert [anomaly.name for anomaly in config.anomalies] == ["latency", "hang", "drift"]
    assert not config.warnings


def test_without_actions_the_requests_alone_are_collected(accept: Accept) -> None:
    """As AODv2: absent, announced and empty are the same."""
    for actions in ("", "actions: ", "actions: {}"):
        (latency, *_) = accept(f"anomalies: {{smb: {{latency: {{{actions}}}}}}}").anomalies
        assert latency.actions == ()


def test_what_is_left_of_audit_is_ignored(accept: Accept) -> None:
    """Whatever it says; with a warning."""
    config = accept("anomalies: {}\naudit: 7")
    assert config.audit.enabled
    assert _warnings(config) == ["f:2:1: audit: ignored: the format with anomalies has no audit"]


def test_other_protocols_are_checked_and_not_watched(accept: Accept, refuse: Refuse) -> None:
    """One warning each, at the line of the type; a wrong name is refused all the same."""
    config = accept(
        "anomalies:\n  nfs:\n    sockconn: {tool: ss}\n  io: {error: {track_errors: [EIO]}}"
    )
    assert _warnings(config) == [
        "f:3:5: anomalies.nfs.sockconn: not watched: aodasync watches smb alone",
        "f:4:8: anomalies.io.error: not watched: aodasync watches smb alone",
    ]
    assert config.unwatched["nfs"]["sockconn"]["acceptable_count"] == 1
    assert config.unwatched["io"]["error"]["codes"] == ["EIO"]
    (problem,) = refuse("anomalies: {io: {error: {track_commands: [RAED]}}}")
    assert problem.endswith(
        "expected the name of an operation of io, found 'RAED'; did you mean 'READ'?"
    )


@pytest.mark.parametrize("protocol", ["smb", "nfs", "io"])
def test_settings_of_other_types_are_ignored_in_every_protocol(
    accept: Accept, protocol: str
) -> None:
    """AODv2 does not look at them, also where a protocol has no such type."""
    config = accept(f"""
        anomalies:
          {protocol}:
            error:
              track_commands: [{_READ[protocol]}]
              mode: weather
              default_threshold_ms: 7
        """)
    ignored = [w for w in _warnings(config) if "ignored: an anomaly of type error" in w]
    assert [warning.split(": ")[:2] for warning in ignored] == [
        ["f:5:7", f"anomalies.{protocol}.error.mode"],
        ["f:6:7", f"anomalies.{protocol}.error.default_threshold_ms"],
    ]


@pytest.mark.parametrize(
    ("body", "key", "problem"),
    [
        ("{io: {latency: {}}}", "io.latency", "expected one of error, found 'latency'"),
        ("{smb: {weather: }}", "smb.weather", "expected one of latency, error, sockconn, found"),
        ("{smb: , SMB: }", "SMB", "expected smb once, found it in line 1 as well"),
        ("{smb: [latency]}", "smb", "expected a mapping, found a list"),
        ("{smb: {latency: {tool: ss}}}", "smb.latency.tool", "expected smbslower, found 'ss'"),
        ("{smb: {latency: {actions: [a]}}}", "smb.latency.actions", "expected a mapping, found"),
        (
            "{smb: {latency: {actions: {dmesg: 1}}}}",
            "smb.latency.actions.dmesg",
            "expected nothing, found 1",
        ),
        (
            "{smb: {latency: {default_threshold_ms: true}}}",
            "smb.latency.default_threshold_ms",
            "expected a number from 0 on, found true",
        ),
        (
            "{smb: {error: {acceptable_count: 3}}}",
            "smb.error",
            "expected track_commands, track_errors or both to name something, found neither",
        ),
        ("{smb: {error: {track_errors: []}}}", "smb.error", "expected track_commands, track_er"),
        (
            "{smb: {error: {track_errors: [EIO]}}}",
            "smb.error.track_errors[0]",
            "expected the name of an NTSTATUS error, or its number, found 'EIO'",
        ),
        ("{smb: {error: {rules: []}}}", "smb.error.rules", "expected a list of 1 to 100 rules"),
        (
            "{smb: {error: {rules: [{track_errors: [STATUS_DISK_FULL]}]}}}",
            "smb.error.rules[0]",
            "the required key 'name' is missing",
        ),
        (
            "{smb: {error: {rules: [{name: ''}]}}}",
            "smb.error.rules[0].name",
            "expected text that is not empty, found ''",
        ),
        (
            "{smb: {error: {rules: [{name: ' ', track_errors: [STATUS_DISK_FULL]}]}}}",
            "smb.error.rules[0].name",
            "expected text that is not empty, found ' '",
        ),
    ],
)
def test_what_is_refused(refuse: Refuse, body: str, key: str, problem: str) -> None:
    """Each once, under its own key."""
    (found,) = refuse(f"anomalies: {body}")
    assert f": anomalies.{key}: {problem}" in found


_CAPTURE = "anomalies: {{smb: {{sockconn: {{actions: {{{tool}: {arguments}}}}}}}}}"


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("tcpdump", "", "expected a list, found nothing"),
        ("tcpdump", "['-C', 2, '-W', '2']", "expected text (in quotes), found 2"),
        ("tcpdump", "['-C', '2']", "the options -C, -W as items of their own, found no -W"),
        ("tcpdump", "['-C2', '-W', '2']", "-C, -W as items of their own, found no -C"),
        ("tcpdump", "['-C 2 -W 2']", "-C, -W as items of their own, found no -C"),
        ("trace-cmd", "['-b', '2']", "the options -e as items of their own, found no -e"),
        ("tcpdump", "['-C', '2', '-W', '2', '-w', 'x']", "expected no option that names a file"),
        ("tcpdump", "['-C', '2', '-W', '2', '--write-file=x']", "found '--write-file=x'"),
        ("trace-cmd", "['-e', 'cifs', '-o', 'x']", "expected no option that names a file"),
    ],
)
def test_arguments_of_captures_are_checked(
    refuse: Refuse, tool: str, arguments: str, problem: str
) -> None:
    """Like AODv2's, with the line of the tool."""
    (found,) = refuse(_CAPTURE.format(tool=tool, arguments=arguments))
    assert f"anomalies.smb.sockconn.actions.{tool}" in found
    assert problem in found


def test_an_option_that_names_a_file_is_at_fault_in_its_own_line(refuse: Refuse) -> None:
    """Not in the line of the tool, with a list of arguments that is written in many."""
    assert refuse("""
        anomalies:
          smb:
            sockconn:
              actions:
                tcpdump:
                  - "-C"
                  - "4"
                  - "-W"
                  - "4"
                  - "-w"
                  - /tmp/x
        """) == [
        (
            "f:10:13: anomalies.smb.sockconn.actions.tcpdump[4]: "
            "expected no option that names a file, found '-w'"
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "megabytes", "packet_bytes", "warnings"),
    [
        ("['-C', '8', '-W', '20']", 160, 160, 0),
        ("['-C', '8', '-W', '20', '-s', '128']", 160, 128, 0),
        ("['-C', '1', '-W', '2', '-s', '0']", 4, 262_144, 1),
        ("['-C', '100', '-W', '100', '-s', '64']", 256, 96, 2),
        ("['-C', 'many', '-W']", 16, 160, 2),
        ("['-C', '8', '-W', '20', '-C']", 16, 160, 1),
        ("['-C', '0', '-W', '2']", 16, 160, 1),
        ("['-C', '99999999999', '-W', '2']", 256, 160, 1),
    ],
)
def test_bounds_of_tcpdump_become_ours(
    accept: Accept, arguments: str, megabytes: int, packet_bytes: int, warnings: int
) -> None:
    """Within the bounds of collector; what cannot be met is reported."""
    config = accept(_CAPTURE.format(tool="tcpdump", arguments=arguments))
    assert config.captures == ("tcpdump",)
    collector = config.collector
    assert (collector.tcpdump_mb, collector.tcpdump_packet_bytes) == (megabytes, packet_bytes)
    assert len(config.warnings) == warnings


def test_a_bound_that_cannot_be_met_is_told_in_its_own_line(accept: Accept) -> None:
    """As is the first argument that is ignored: the list may be long."""
    config = accept("""
        anomalies:
          smb:
            sockconn:
              actions:
                tcpdump:
                - -C
                - '100'
                - -s
                - all
                - -W
                - '100'
                - -n
                - -C
        """)
    at = "anomalies.smb.sockconn.actions.tcpdump"
    whole = "expected a whole number from"
    assert _warnings(config) == [
        f"f:9:11: {at}[3]: {whole} 0 after -s, found 'all': the default is used",
        f"f:12:11: {at}: ignored: '-n'; see watcher.captures",
        f"f:13:11: {at}[7]: {whole} 1 after -C, found no more: the default is used",
    ]


def test_both_options_of_a_size_are_told_where_it_begins(accept: Accept) -> None:
    """``-C`` times ``-W`` is one number."""
    config = accept("""
        anomalies:
          smb:
            sockconn:
              actions:
                tcpdump:
                - -W
                - '100'
                - -C
                - '100'
        """)
    assert _warnings(config) == [
        (
            "f:9:11: anomalies.smb.sockconn.actions.tcpdump[3]: "
            "expected 4 to 256 of -C times -W, found 10000: 256 is used"
        )
    ]


def test_wrong_arguments_are_refused_below_any_number_of_mistakes(refuse: Refuse) -> None:
    """Not all of them are kept, and what is not kept is refused all the same."""
    unknown = "".join(f"key{number}: 1\n" for number in range(150))
    problems = refuse(f"{unknown}{_CAPTURE.format(tool='tcpdump', arguments='[-C, 2]')}")
    assert problems[-1].endswith(": (file): 51 more errors are not shown")


def test_collector_wins_over_arguments(accept: Accept) -> None:
    """It is ours, and meant for this."""
    text = _CAPTURE.format(tool="tcpdump", arguments="['-C', '8', '-W', '20']")
    assert accept(f"{text}\ncollector: {{tcpdump_mb: 32}}").collector.tcpdump_mb == 32


def test_other_arguments_are_named_and_never_passed_on(accept: Accept) -> None:
    """One warning a tool, however many anomalies name it."""
    config = accept("""
        anomalies:
          smb:
            latency: {actions: {tcpdump: &a ["-i", "eth0", "-C", "8", "-W", "20", "-n"]}}
            sockconn: {actions: {tcpdump: *a}}
        """)
    assert _warnings(config) == [
        (
            "f:3:38: anomalies.smb.latency.actions.tcpdump: "
            "ignored: '-i eth0 -n'; see watcher.captures"
        )
    ]
    assert not any("eth0" in str(value) for value in (config.collector, config.captures))


def test_a_capture_of_an_anomaly_that_is_off_does_not_run(accept: Accept) -> None:
    """Nor one of a protocol that is not watched."""
    arguments = "['-C', '8', '-W', '20']"
    for text in (
        f"anomalies: {{smb: {{sockconn: {{enabled: false, actions: {{tcpdump: {arguments}}}}}}}}}",
        f"anomalies: {{nfs: {{sockconn: {{actions: {{tcpdump: {arguments}}}}}}}}}",
    ):
        assert accept(text).captures == ()


def test_a_capture_that_is_refused_is_not_compared_with_others(refuse: Refuse) -> None:
    """One mistake, one line."""
    (problem,) = refuse("""
        anomalies:
          smb:
            latency: {actions: {tcpdump: ["-C", "4"]}}
            sockconn: {actions: {tcpdump: ["-C", "4", "-W", "16"]}}
        """)
    assert problem.startswith("f:3:25: anomalies.smb.latency.actions.tcpdump: expected the options")


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ("[-e, smb]", "f:4:42: {}[1]: {} in line 3: 'cifs', found 'smb'"),
        ("[-e]", "f:4:26: {}: {} in line 3: 'cifs', found no more"),
        ("[-e, cifs, -b]", "f:4:48: {}[2]: {} in line 3: no more, found '-b'"),
    ],
)
def test_arguments_are_the_same_everywhere(refuse: Refuse, others: str, problem: str) -> None:
    """There is one recorder. The first argument that differs is named."""
    assert refuse(f"""
        anomalies:
          smb:
            latency: {{actions: {{trace-cmd: [-e, cifs]}}}}
            sockconn: {{actions: {{trace-cmd: {others}}}}}
        """) == [
        problem.format("anomalies.smb.sockconn.actions.trace-cmd", "expected the same arguments as")
    ]


def test_arguments_that_differ_are_named_with_both_lines(refuse: Refuse) -> None:
    """In lists that are written over many lines."""
    (problem,) = refuse("""
        anomalies:
          smb:
            latency:
              actions:
                trace-cmd:
                - -e
                - cifs
            sockconn: {actions: {trace-cmd: [-e, smb]}}
        """)
    assert problem.startswith("f:8:42: anomalies.smb.sockconn.actions.trace-cmd[1]: expected the ")
    assert problem.endswith(" same arguments as in line 7: 'cifs', found 'smb'")


def test_rules_of_our_own_format(accept: Accept) -> None:
    """The same rules; codes may be errnos, names or numbers of NTSTATUS."""
    anomaly = _error(
        accept("""
            guardian:
              anomalies:
                error:
                  rules:
                  - name: full
                    acceptable_count: 3
                    track_commands: [SMB2_WRITE, SMB2_CREATE]
                    track_codes: [ENOSPC, STATUS_DISK_FULL, 0xC0000044, '0xC00099FF']
                  - {name: logon, track_commands: [SMB2_SESSION_SETUP]}
            """)
    )
    assert anomaly.rules == (
        ErrorRule(
            name="full",
            acceptable_count=3,
            commands=("SMB2_CREATE", "SMB2_WRITE"),
            codes=("ENOSPC",),
            statuses=("0xC00099FF", "STATUS_DISK_FULL", "STATUS_QUOTA_EXCEEDED"),
        ),
        ErrorRule("logon", 1, commands=("SMB2_SESSION_SETUP",)),
    )


def test_an_error_may_be_of_some_commands(accept: Accept) -> None:
    """With the modes of its codes, none of which is about commands."""
    anomaly = _error(
        accept("""
            guardian:
              anomalies:
                error: {mode: excludeonly, track_commands: [SMB2_WRITE], exclude_codes: [EIO]}
            """)
    )
    assert anomaly.commands == ("SMB2_WRITE",)
    assert len(anomaly.codes) == 129


def test_latencys_list_in_an_error_is_ignored(accept: Accept) -> None:
    """AODv2's older format does not look at it there."""
    config = accept("guardian: {anomalies: {error: {track_commands: [{command: SMB2_READ}]}}}")
    assert _error(config).commands == ()
    assert "ignored: an anomaly of type error has no thresholds" in _warnings(config)[0]


@pytest.mark.parametrize("key", ["mode: all", "acceptable_count: 2", "track_codes: [EIO]"])
def test_rules_replace_the_lists(refuse: Refuse, key: str) -> None:
    """Beside them, neither would be what it says."""
    (problem,) = refuse(f"""
        guardian:
          anomalies:
            error:
              {key}
              rules: [{{name: a, track_codes: [EIO]}}]
        """)
    assert problem.startswith("f:4:7: guardian.anomalies.error.")
    assert problem.endswith("expected it in a rule, found it beside 'rules' of line 5")


def test_names_of_rules_are_their_own(refuse: Refuse) -> None:
    """Logs tell them apart by it."""
    (problem,) = refuse("""
        guardian:
          anomalies:
            error:
              rules:
              - {name: a, track_codes: [EIO]}
              - {name: a, track_codes: [EACCES]}
        """)
    assert problem == (
        "f:6:16: guardian.anomalies.error.rules[1].name: "
        "expected a name of its own, found 'a' again"
    )


def test_a_name_of_a_rule_is_at_fault_in_its_own_line(refuse: Refuse) -> None:
    """Wherever in the rule it stands; a long one is shortened."""
    rule = f"{{track_codes: [EIO],\n name: {'x' * 500}}}"
    (problem,) = refuse(f"guardian: {{anomalies: {{error: {{rules: [{rule}, {rule}]}}}}}}")
    assert problem.startswith("f:3:8: guardian.anomalies.error.rules[1].name: expected a name of")
    assert len(problem) < 200


@pytest.mark.parametrize("number", ["0", "0x103", "13", "0x1C0000022", "-1", "true", "1.5"])
def test_only_numbers_of_errors_are_codes(refuse: Refuse, number: str) -> None:
    """Success and information are none; 32 bits are all there are."""
    (problem,) = refuse(f"guardian: {{anomalies: {{error: {{track_codes: [{number}]}}}}}}")
    assert ".track_codes[0]: expected the name of an errno, or the name or number of" in problem
