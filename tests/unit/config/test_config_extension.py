# SPDX-License-Identifier: MIT
"""A row in a table is enough: types of anomalies and actions that others add."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest

from aodasync.actions import BUILTIN
from aodasync.cli.check_config import check_config
from aodasync.config import Config, schema
from aodasync.config.anomalies import ANOMALY_TYPES, Anomaly, AnomalyType
from aodasync.config.anomalies.anomaly_type import Given
from aodasync.config.kinds import Number
from aodasync.config.section import Setting

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class _MineAnomaly:
    name: str
    depth: float
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "mine"


def _make(given: Given) -> Anomaly:
    return _MineAnomaly(depth=given.values["depth"], **given.common)


_MINE = AnomalyType(
    help="what only this test knows",
    make=_make,
    settings=(Setting("depth", Number(1, 9), "How deep.", 3.0),),
)


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANOMALY_TYPES, "mine", _MINE)
    action = replace(BUILTIN["dmesg"], name="extra", file="extra.log")
    monkeypatch.setitem(BUILTIN, "extra", action)


def test_a_new_type_is_read_and_checked(accept: Accept, refuse: Refuse) -> None:
    """By its name, with its defaults and its bounds."""
    config = accept("guardian: {anomalies: {mine: {actions: []}, deep: {type: Mine, depth: 7}}}")
    assert config.anomalies[0] == _MineAnomaly("mine", 3.0, (), 60.0)
    assert config.anomalies[1] == _MineAnomaly("deep", 7.0, config.watcher_actions, 60.0)
    assert refuse("guardian: {anomalies: {mine: {depth: 10}}}") == [
        "f:1:38: guardian.anomalies.mine.depth: expected a number from 1 to 9, found 10"
    ]
    assert "hang, connection, drift, mine" in refuse("guardian: {anomalies: {x: {}}}")[0]


def test_a_new_type_may_be_on_by_default(
    accept: Accept, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is configured unnamed, can be turned off, and its name is its own."""
    monkeypatch.setitem(ANOMALY_TYPES, "mine", replace(_MINE, on_by_default=True))
    assert accept("{}").anomalies[-1].type == "mine"
    off = accept("guardian: {anomalies: {mine: {enabled: false}}}").anomalies
    assert "mine" not in {anomaly.type for anomaly in off}
    assert len(refuse("guardian: {anomalies: {mine: {type: drift}}}")) == 1


def test_a_setting_of_the_new_type_is_ignored_elsewhere(accept: Accept) -> None:
    """With the warning that every other type's settings get."""
    (warning,) = accept("guardian: {anomalies: {hang: {depth: 4}}}").warnings
    assert "ignored: an anomaly of type hang has no such setting" in str(warning)


def test_check_config_and_schema_show_the_new_type(tmp_path: Path) -> None:
    """Everything that is derived from the table."""
    file = tmp_path / "c.yaml"
    file.write_text("guardian: {anomalies: {mine: {depth: 2}}}")
    out = io.StringIO()
    assert check_config(file, as_json=True, out=out, err=io.StringIO()) == 0
    assert json.loads(out.getvalue())["anomalies"]["mine"]["depth"] == 2
    document = {"guardian": {"anomalies": {"m": {"type": "mine", "depth": 2}}}}
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert "what only this test knows" in json.dumps(schema())


def test_a_new_action_can_be_named_and_is_reserved(accept: Accept, refuse: Refuse) -> None:
    """By name and by the name of its file."""
    config = accept("watcher: {actions: [extra]}")
    assert (config.watcher_actions, config.warnings) == (("extra",), ())
    assert len(refuse("actions: {extra: {command: [ls]}}")) == 1
    assert "extra" in schema()["$defs"]["action"]["anyOf"][0]["enum"]
