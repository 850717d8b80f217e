# SPDX-License-Identifier: MIT
"""What the commands print as JSON is as ``aodasync schema`` describes it, and as README uses it."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jq
import jsonschema
import numpy as np
import pytest
import structlog

import aodasync
from aodasync import agent as agent_module
from aodasync.agent import Agent
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.cli import main as cli
from aodasync.cli import slow
from aodasync.cli.arguments import SCHEMA_NAMES, parser
from aodasync.cli.doctor.check import Check
from aodasync.cli.doctor.diagnosis import as_json as doctor_json
from aodasync.cli.history import list_history
from aodasync.cli.schemas import SCHEMAS, schema_of
from aodasync.cli.suggest import suggest
from aodasync.cli.top import as_json as top_json
from aodasync.cli.why import why
from aodasync.detection.baseline import Baseline
from aodasync.evidence.history import append
from aodasync.host import state_file
from aodasync.live.frames import Frame
from aodasync.live.window import Window
from tests.builders import MS, SECOND, config, in_flight, latency_anomaly, request, requests

pytestmark = pytest.mark.anyio

_RECORDING = Path(aodasync.__file__).parent / "recordings" / "slow_server"
_README = Path(aodasync.__file__).parents[1] / "README.md"
_ONE_LINER = re.compile(r"^aodasync ([\w ]+) --json \| jq (?:-\w )?'(.+)'$", re.MULTILINE)

_STATE: Mapping[str, Any] = {
    "now_ns": 20 * SECOND,
    "connections": [{"connection_id": 1, "server": "nas", "address": "192.0.2.1", "port": 445}],
    "shares": [{"session_id": "0x0", "tree_id": 0, "share": "//nas/data"}],
    "operations": [],
}


def _rows() -> Any:
    return requests(
        request("SMB2_WRITE", released_ns=19 * SECOND, latency_ns=500 * MS, comm=b"db", tgid=7),
        request("SMB2_READ", released_ns=19 * SECOND, received_ns=19 * SECOND - 1000),
    )


class _Connection:
    """An agent's stream that has sent one state."""

    def frames(self, wait_sec: float) -> list[Frame]:
        del wait_sec
        return [Frame("state", _STATE, in_flight(issued_ns=SECOND))]


@contextmanager
def _connected(_asked: object) -> Iterator[_Connection]:
    yield _Connection()


def _window() -> Window:
    window = Window(10)
    window.add(_rows())
    window.update(_STATE, in_flight(issued_ns=12 * SECOND))
    return window


def _history(directory: Path) -> None:
    directory_fd = os.open(directory, os.O_RDONLY)
    append(directory_fd, {"record": "agent", "run": "a"})
    began = {"record": "began", "id": "a-1", "anomaly": "latency", "server": "nas", "began_ns": 7}
    append(directory_fd, began)
    who = {"processes": [{"name": "db", "pid": 7, "share_of_time": 0.71}]}
    verdict = {"cause": "server", "sentence": "It was slow."}
    append(directory_fd, {**began, "record": "bundle", "verdict": verdict, "who": who})
    os.close(directory_fd)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output directory with the bundle of the packaged recording."""
    directory = tmp_path_factory.mktemp("bundles")
    argv = ["replay", str(_RECORDING), "--config", str(_RECORDING / "config.yaml")]
    assert cli.main([*argv, "--output-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def printed(
    bundles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    """What each command prints, by the name of its schema; of ``slow`` and ``events``, a list."""

    def lines_of(*argv: str) -> list[Any]:
        capsys.readouterr()
        assert cli.main([*argv, "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def json_of(*argv: str) -> Any:
        capsys.readouterr()
        assert cli.main([*argv, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    monkeypatch.setattr(slow, "connected", _connected)
    _history(tmp_path)
    past, explained, waiting, suggested = (io.StringIO() for _ in range(4))
    list_history(tmp_path, since_ns=0, server="", as_json=True, out=past)
    why(tmp_path, None, as_json=True, out=explained)
    baseline = Baseline()
    for _ in range(100):
        baseline.learn([("nas", 8)], np.array([8.0]))
    state_file.save(tmp_path, "learnt.json", {"drift": baseline.export()})
    suggest(tmp_path, since_ns=0, as_json=True, out=suggested)
    slow.inflight(slow.Wanted(), as_json=True, out=waiting)
    own = ["--output-dir", str(bundles)]
    return {
        "manifest": json_of("bundles", "show", *own),
        "bundles": json_of("bundles", "ls", *own),
        "verify": json_of("bundles", "verify", *own),
        "events": lines_of("bundles", "events", "--slower", "300", *own),
        "diff": json_of("bundles", "diff", "latest", "latest", *own),
        "history": json.loads(past.getvalue()),
        "why": json.loads(explained.getvalue()),
        "top": top_json(_window(), str),
        "slow": [*slow.described(_window(), _rows(), now_ns=20 * SECOND)],
        "inflight": json.loads(waiting.getvalue()),
        "check-config": json_of("check-config", str(_RECORDING / "config.yaml")),
        "suggest": json.loads(suggested.getvalue()),
        "doctor": json.loads(doctor_json([Check("bcc", "ok", "0.31")])),
    }


def _validate(name: str, value: Any) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)


def test_what_is_printed_is_as_described(printed: dict[str, Any]) -> None:
    """The output of every command but two, which have tests of their own below."""
    assert printed.keys() == SCHEMAS.keys() - {"status", "config"}
    for name, value in printed.items():
        for each in value if name in ("slow", "events") else [value]:
            _validate(name, each)


async def test_the_status_is_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an agent that has attached nothing yet."""
    monkeypatch.setattr(agent_module, "STATE_DIR", tmp_path / "state")
    with OutputDirectory.prepare(tmp_path / "aod") as output:
        settings = config(latency_anomaly(), output_dir=output.path)
        agent = Agent(settings, output=output, run_dir=tmp_path, log=structlog.get_logger())
        status = json.loads(json.dumps(await agent.status()))
    _validate("status", status)


def test_each_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By its name; that of the configuration is what config-schema prints."""
    assert set(SCHEMA_NAMES) == SCHEMAS.keys()
    for name in SCHEMA_NAMES:
        assert cli.main(["schema", name]) == 0
        assert json.loads(capsys.readouterr().out) == schema_of(name)
    assert cli.main(["config-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema_of("config")


def _that_print_json(command: argparse.ArgumentParser, name: str) -> Iterator[str]:
    for action in command._actions:
        if "--json" in action.option_strings:
            yield name
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from _that_print_json(inner, word)


def test_every_command_that_prints_json_has_a_schema() -> None:
    """A new one cannot be forgotten."""
    others = {"show": "manifest", "ls": "bundles", "list": "bundles"}
    found = {others.get(name, name) for name in _that_print_json(parser(), "")}
    assert found - set(SCHEMA_NAMES) == set()


def test_a_value_of_another_kind_is_refused(printed: dict[str, Any]) -> None:
    """The schemas do tell."""
    with pytest.raises(jsonschema.ValidationError):
        _validate("manifest", {**printed["manifest"], "episode": {"open": "yes"}})
    with pytest.raises(jsonschema.ValidationError):
        _validate("history", {"schema_version": 1, "episodes": [{}]})


def test_the_one_liners_of_the_readme_work(printed: dict[str, Any]) -> None:
    """Each finds something in what its command prints."""
    status = {"mounts": {"/mnt/a": "//nas/a: NOT USABLE for 9 s: no response", "/mnt/b": "usable"}}
    values = {
        "status": status,
        "history": printed["history"],
        "why": printed["why"],
        "top": printed["top"],
        "slow": printed["slow"][0],
        "bundles ls": [{**printed["bundles"][0], "verdict": "server"}],
        "bundles show": printed["manifest"],
    }
    found = _ONE_LINER.findall(_README.read_text())
    assert {re.sub(r" \d+$", "", command) for command, _ in found} == values.keys()
    for command, program in found:
        value = values[re.sub(r" \d+$", "", command)]
        results = jq.compile(program).input_value(value).all()
        assert results, command
        assert "null" not in str(results).casefold(), (command, results)
