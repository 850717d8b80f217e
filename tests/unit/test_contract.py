# SPDX-License-Identifier: MIT
"""What users rely on and no release may take away: ``contract.json`` lists it by name.

Things may be added. What is removed or changed on purpose goes into ``GONE`` with its
reason, and into CHANGELOG.md by name.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import re
import subprocess
import sys
import syslog
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import anyio
import pytest

import aodasync
from aodasync.actions import BUILTIN
from aodasync.bundle.archive import read_manifest
from aodasync.cli import main as cli
from aodasync.cli.arguments import parser
from aodasync.errors import ExitCode
from aodasync.events import EVENT, Kind, Outcome
from aodasync.host import aodv2_syslog
from aodasync.host.facts import host_facts
from aodasync.probes.interface import Attachment, ProbePlan
from aodasync.probes.shared import LOSS_COUNTERS, Counter

PACKAGE = Path(aodasync.__file__).parent
RECORDING = PACKAGE / "recordings" / "slow_server"
CONTRACT: dict[str, Any] = json.loads(Path(__file__).with_name("contract.json").read_text())

GONE: Mapping[str, str] = {
    "in_flight_unreadable": "table_unreadable says it of every table",
    "verdict.evidence.type": "anomaly.type is in the same manifest",
    "aodasync bundles action": "each action is a command of its own, with its own options",
    "aodasync bundles BUNDLE": "of each action of its own",
}
"""Names that were in the contract and are no longer: the reason for each."""

# "report" is a method chosen beforehand, by whether the event matters.
_METHODS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "report"})


def _kept(names: Mapping[str, Any] | list[str]) -> list[str]:
    """The names that must still be there."""
    return [name for name in names if name not in GONE]


def _missing(section: str, present: Mapping[str, Any] | set[str]) -> list[str]:
    return [name for name in _kept(CONTRACT[section]) if name not in present]


def _changed(section: str, present: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name: (expected, found), for all that are missing or have another value."""
    expected = CONTRACT[section]
    return {
        name: (expected[name], present.get(name, "missing"))
        for name in _kept(expected)
        if name not in present or present[name] != expected[name]
    }


def test_what_is_gone_is_explained_in_the_changelog() -> None:
    """A user who misses a name finds it in CHANGELOG.md."""
    changelog = (PACKAGE.parent / "CHANGELOG.md").read_text()
    assert [name for name in GONE if f"`{name}`" not in changelog] == []


# --- log events


def _logged() -> dict[str, set[str]]:
    """Each event's name as the source has it, with every identifier of its modules."""
    events: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = set(_identifiers(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (event := _event(node)):
                events.setdefault(event, set()).update(names)
    return events


def _event(call: ast.Call) -> str:
    """The event that ``call`` logs, or nothing: ``self._log.info("agent_ready", ...)``."""
    match call:
        case ast.Call(
            func=ast.Attribute(attr=method) | ast.Name(id=method),
            args=[ast.Constant(value=str(event)), *_],
        ) if method in _METHODS:
            return event
    return ""


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def test_every_log_event_is_still_logged_with_its_fields() -> None:
    """Alerts match on the event's name, and read its fields."""
    logged = _logged()
    missing = {
        event: sorted(set(names) - logged.get(event, set()))
        for event, names in CONTRACT["log_events"].items()
        if event not in GONE and (event not in logged or not logged[event] >= set(names))
    }
    assert missing == {}


def test_the_readme_names_every_event() -> None:
    """Whoever finds a line in a log finds it there, too."""
    readme = (PACKAGE.parent / "README.md").read_text()
    assert [event for event in sorted(_logged()) if f"`{event}`" not in readme] == []


def test_the_readme_names_fields_that_the_events_have() -> None:
    """A filter that somebody writes from its table finds them."""
    readme = (PACKAGE.parent / "README.md").read_text()
    table = readme.partition("## Log events")[2].partition("## Bundles")[0]
    prose = {"and", "its", "or", "rule"}
    modules = [set(_identifiers(ast.parse(path.read_text()))) for path in PACKAGE.rglob("*.py")]
    for events, fields_ in re.findall(r"^\| (`[^|]+`) \|.*\| (.*?) ?\|$", table, re.MULTILINE):
        named = set(re.findall(r"\w+", events))
        known = set().union(*(names for names in modules if names & named))
        assert set(re.findall(r"[a-z_]+", fields_)) - prose <= known, events


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the bundle of the packaged recording, and what was logged in ``log``."""
    directory = tmp_path_factory.mktemp("replayed")
    argv = [sys.executable, "-m", "aodasync", "replay", str(RECORDING)]
    argv += ["--config", str(RECORDING / "config.yaml"), "--output-dir", str(directory)]
    with (directory / "log").open("wb") as log:
        subprocess.run([*argv, "--log-format", "json"], cwd=PACKAGE.parent, stdout=log, check=True)
    return directory


def test_a_replay_logs_these_fields(replayed: Path) -> None:
    """The lines about an anomaly and its bundle, as they come out."""
    lines = map(json.loads, (replayed / "log").read_text().splitlines())
    found = {f"{line['event']}.{field}" for line in lines for field in line}
    assert _missing("replay_log_fields", found) == []


# --- the command line


def test_exit_codes_keep_their_numbers() -> None:
    """Scripts branch on them."""
    assert _changed("exit_codes", {code.name: int(code) for code in ExitCode}) == {}


def _arguments(command: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, list[str]]]:
    """``name --option`` or ``name METAVAR``, and the choices there are."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield f"{name} {word}", []
                yield from _arguments(sub, f"{name} {word}")
            continue
        for option in action.option_strings or [str(action.metavar or action.dest)]:
            yield f"{name} {option}", [str(choice) for choice in action.choices or ()]


def test_every_command_and_option_is_still_taken() -> None:
    """With all choices that it had."""
    present = dict(_arguments(parser(), "aodasync"))
    missing = {
        name: sorted(set(CONTRACT["command_line"][name]) - set(present.get(name, ())))
        for name in _kept(CONTRACT["command_line"])
        if name not in present or not set(present[name]) >= set(CONTRACT["command_line"][name])
    }
    assert missing == {}


# --- the configuration


def _settings(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the JSON Schema by its path, with its default; None: it has none."""
    for key, child in node.get("properties", {}).items():
        here = f"{path}.{key}".lstrip(".")
        yield here, child.get("default")
        yield from _settings(child, here)
    for alternative in node.get("anyOf", ()):
        yield from _settings(alternative, path)
    for inner, sign in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(node.get(inner), Mapping):
            yield from _settings(node[inner], path + sign)


def test_every_setting_is_still_there_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration file goes on meaning what it meant."""
    assert cli.main(["config-schema"]) == 0
    assert _changed("settings", dict(_settings(json.loads(capsys.readouterr().out)))) == {}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON value by its path; lists are leaves."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flat(child, f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def test_an_empty_configuration_has_the_same_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``check-config --json`` prints of ``{}``: anomalies on by default included."""
    (tmp_path / "empty.yaml").write_text("{}")
    assert cli.main(["check-config", "--json", str(tmp_path / "empty.yaml")]) == 0
    effective = json.loads(capsys.readouterr().out)
    assert _changed("empty_configuration", dict(_flat(effective))) == {}


def test_every_action_keeps_its_name_and_file() -> None:
    """Configurations name actions; those who read bundles know their files."""
    assert _changed("actions", {name: action.file for name, action in BUILTIN.items()}) == {}


# --- bundles and recordings


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Every key of a JSON value by its path; items of a list count as one."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            here = f"{path}.{key}".lstrip(".")
            yield here
            yield from _paths(child, here)
    elif isinstance(value, list):
        for child in value:
            yield from _paths(child, f"{path}[]")


def test_every_key_of_the_manifest_is_still_there(replayed: Path) -> None:
    """In the bundle of a replay, which has all but what only a live host has."""
    (bundle,) = replayed.glob("batches/*.tar.zst")
    manifest = read_manifest(bundle)
    assert _missing("manifest", set(_paths(manifest))) == []
    live = {"probe": {f.name: None for f in fields(ProbePlan)}, **host_facts()}
    live["probe"]["attachments"] = [{f.name: None for f in fields(Attachment)}]
    assert _missing("live_manifest", set(_paths(live))) == []


def test_event_rows_keep_their_fields() -> None:
    """Fields of ``events.npy`` are never renamed, nor is their type changed."""
    assert EVENT.fields is not None
    assert _changed("event_fields", {n: f[0].str for n, f in EVENT.fields.items()}) == {}


@pytest.mark.parametrize(("section", "codes"), [("kinds", Kind), ("outcomes", Outcome)])
def test_codes_in_event_rows_keep_their_meaning(section: str, codes: type[Kind | Outcome]) -> None:
    """An old recording is read as it was written."""
    assert _changed(section, {code.name: int(code) for code in codes}) == {}


def test_every_kernel_counter_is_still_counted() -> None:
    """Losses keep their names in manifests, status and metrics."""
    assert _missing("kernel_counters", {counter.name for counter in Counter}) == []
    assert _missing("losses", {counter.name for counter in LOSS_COUNTERS}) == []


# --- AODv2's sentences


@pytest.mark.anyio
async def test_syslog_gets_aodv2s_two_sentences_word_for_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who alert on AODv2 go on as before: same words, names and priorities."""
    priorities = {syslog.LOG_ALERT: "alert", syslog.LOG_WARNING: "warning"}
    loop, sent = asyncio.get_running_loop(), asyncio.Queue[list[str]]()

    def send(priority: int, text: str) -> None:
        loop.call_soon_threadsafe(sent.put_nowait, [priorities[priority], text])

    monkeypatch.setattr(syslog, "syslog", send)
    audit = aodv2_syslog.Audit(enabled=True)
    audit.anomaly("latency", 12)
    for task in ("reader", "detector", "collector", "cleaner"):
        audit.component_restarted(task)
    with anyio.fail_after(30):
        lines = [await sent.get() for _ in CONTRACT["aodv2_syslog"]]
    assert sorted(lines) == sorted(CONTRACT["aodv2_syslog"])
