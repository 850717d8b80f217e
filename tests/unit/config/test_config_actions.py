# SPDX-License-Identifier: MIT
"""Which actions run, and what users may define."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.actions import BUILTIN, UserAction
from aodasync.config import DEFAULT_ACTIONS, Config
from aodasync.config.actions import reserved_names

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def test_an_anomaly_without_actions_runs_the_watchers(accept: Accept) -> None:
    """And one with a list runs that, be it empty; the watcher's list does not limit it."""
    config = accept("""
        watcher: {actions: [stats, dmesg]}
        guardian:
          anomalies:
            latency:
            error: {actions: [mounts]}
            hang: {actions: []}
        """)
    assert {anomaly.name: anomaly.actions for anomaly in config.anomalies} == {
        "latency": ("stats", "dmesg"),
        "error": ("mounts",),
        "hang": (),
        "connection": ("stats", "dmesg"),
        "drift": ("stats", "dmesg"),
    }


def test_without_any_list_the_seven_run(accept: Accept) -> None:
    """AODv2's quick actions."""
    assert (
        *("dmesg", "journalctl", "syslogs"),
        *("debugdata", "stats", "mounts", "smbinfo"),
    ) == DEFAULT_ACTIONS
    assert set(DEFAULT_ACTIONS) <= BUILTIN.keys()
    assert accept("{}").anomalies[0].actions == accept("{}").watcher_actions == DEFAULT_ACTIONS


def test_an_unknown_action_is_left_out_with_a_warning(accept: Accept) -> None:
    """AODv2 warns, too, and goes on; one that is there twice runs once."""
    config = accept("""
        watcher:
          actions: [dmesg, jornalctl, dmesg]
        """)
    assert config.watcher_actions == ("dmesg",)
    assert tuple(map(str, config.warnings)) == (
        (
            "f:2:20: watcher.actions[1]: "
            "unknown action 'jornalctl' is left out; did you mean 'journalctl'?"
        ),
        "f:2:31: watcher.actions[2]: found 'dmesg' again; once is enough",
    )


def test_a_capture_among_the_actions_is_told_its_place(accept: Accept) -> None:
    """It is known, but elsewhere."""
    (warning,) = accept("watcher: {actions: [dmesg, tcpdump]}").warnings
    assert warning.message.endswith("it records all the time, and belongs below watcher.captures")


def test_the_name_of_an_action_is_text(refuse: Refuse) -> None:
    """A number is not only unknown."""
    assert refuse("watcher: {actions: [7]}") == [
        "f:1:21: watcher.actions[0]: expected the name of an action, found 7"
    ]


def test_users_define_actions(accept: Accept) -> None:
    """An argument vector and a deadline; without one, that of the collector holds."""
    config = accept("""
        collector: {action_timeout_sec: 7}
        watcher: {actions: [routes, dmesg]}
        guardian: {anomalies: {hang: {actions: [my-tool]}}}
        actions:
          routes: {command: [ip, route, show], timeout_sec: 2.5}
          my-tool: {command: [/opt/tool]}
        """)
    assert config.user_actions == (
        UserAction("routes", ("ip", "route", "show"), 2.5),
        UserAction("my-tool", ("/opt/tool",), 7.0),
    )
    assert config.watcher_actions == ("routes", "dmesg")
    assert config.anomalies[0].actions == ("my-tool",)
    assert not config.warnings


def test_an_action_that_nothing_runs_is_warned_of(accept: Accept) -> None:
    """Defining is not enough, and not the place where it is looked for."""
    config = accept("actions: {routes: {command: [ip, route]}}")
    assert tuple(map(str, config.warnings)) == (
        "f:1:11: actions.routes: never run: neither watcher.actions nor an anomaly names it",
    )


def test_captures_are_off_unless_named(accept: Accept, refuse: Refuse) -> None:
    """Each once, in the file's order; a name that nobody knows is an error."""
    assert accept("{}").captures == ()
    named = accept("watcher: {captures: [trace-cmd, tcpdump, trace-cmd]}")
    assert named.captures == ("trace-cmd", "tcpdump")
    assert named.watcher_actions == DEFAULT_ACTIONS
    assert refuse("watcher: {captures: [tcpdum]}") == [
        (
            "f:1:22: watcher.captures[0]: expected one of tcpdump, trace-cmd, found 'tcpdum'; "
            "did you mean 'tcpdump'?"
        )
    ]


@pytest.mark.parametrize("name", sorted(reserved_names()))
def test_names_of_built_in_actions_and_their_files_are_taken(refuse: Refuse, name: str) -> None:
    """No action may overwrite what another one writes."""
    assert refuse(f"actions: {{{name}: {{command: [ls]}}}}") == [
        f"f:1:11: actions.{name}: expected a name of your own, found the name of a built-in action"
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{}", "f:1:16: actions.own: the required key 'command' is missing"),
        ("{command: }", "f:1:16: actions.own: the required key 'command' is missing"),
        (
            "{command: []}",
            "f:1:26: actions.own.command: expected a list of 1 or more, found an empty one",
        ),
        (
            "{command: ls -l}",
            "f:1:26: actions.own.command: expected a list, found 'ls -l'",
        ),
        (
            "{command: [sleep, 5]}",
            "f:1:34: actions.own.command[1]: expected text (in quotes), found 5",
        ),
        (
            '{command: ["a\\0b"]}',
            (
                "f:1:27: actions.own.command[0]: "
                "expected text without control characters, found 'a\\x00b'"
            ),
        ),
        (
            "{command: [ls], timeout_sec: 0}",
            ("f:1:45: actions.own.timeout_sec: expected a number from 0.1 to 600, found 0"),
        ),
        (
            "{command: [ls], shell: true}",
            "f:1:32: actions.own.shell: unknown key; expected one of command, timeout_sec",
        ),
        ("[ls]", "f:1:16: actions.own: expected a mapping with the key 'command', found a list"),
    ],
)
def test_a_definition_is_an_argument_vector(refuse: Refuse, body: str, problem: str) -> None:
    """No shell, no empty command, no arguments that YAML has turned into something else."""
    assert refuse(f"actions: {{own: {body}}}") == [problem]


@pytest.mark.parametrize("key", ["on_bundle", "on_episode", "actions.own.command"])
@pytest.mark.parametrize(
    ("program", "warned"),
    [
        ("[/usr/local/bin/upload-bundle, 'a b', '~', '']", False),
        ("[upload-bundle]", False),
        ("[/a=b/hook]", False),
        ("['/usr/bin/rclone copy']", True),
        ("['/opt/my tools/hook']", True),
        ("['~/bin/hook']", True),
        ("['./hook', x]", True),
        ("[bin/hook]", True),
    ],
)
def test_what_only_a_shell_would_run_is_warned_of(
    accept: Accept, key: str, program: str, warned: bool
) -> None:
    """A whole command line as one item, ``~``, a path that is not absolute: not at 3 a.m. only."""
    text = f"{key}: {program}"
    if key.startswith("actions"):
        text = f"actions: {{own: {{command: {program}}}}}\nwatcher: {{actions: [own]}}"
    keys = [problem.key for problem in accept(text).warnings]
    assert keys == ([f"{key}[0]"] if warned else [])


@pytest.mark.parametrize(
    ("path", "warned"),
    [("''", False), ("/x/.a.prom", False), ("/x/aodasync", True), ("/x/a.prom.tmp", True)],
)
def test_a_textfile_that_no_collector_reads_is_warned_of(
    accept: Accept, path: str, warned: bool
) -> None:
    """node_exporter passes over what does not end in .prom, without a word."""
    warnings = accept(f"metrics: {{textfile: {path}}}").warnings
    assert [problem.key for problem in warnings] == ["metrics.textfile"] * warned
