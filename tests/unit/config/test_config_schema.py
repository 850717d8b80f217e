# SPDX-License-Identifier: MIT
"""The JSON Schema, the tables, the model and the shipped file say the same."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from aodasync.actions import BUILTIN
from aodasync.config import (
    DEFAULT_ACTIONS,
    default_path,
    load,
    loads,
    schema,
    to_json,
)
from aodasync.config.anomalies import ANOMALY_TYPES
from aodasync.config.guardian import any_anomaly, settings_of
from aodasync.config.section import ListOf, MapOf, Section
from aodasync.config.settings import top
from aodasync.errors import ConfigError

_HERE = Path(__file__).parent
_SHIPPED = default_path().read_text()
_COMMENTED_OUT = re.compile(r"^( *)#(?=\S)", re.MULTILINE)


@pytest.fixture(scope="module")
def validator() -> Any:
    """Of the draft that the schema names."""
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


_RIGHT = [
    "{}",
    _SHIPPED,
    _COMMENTED_OUT.sub(r"\1", _SHIPPED),
    "guardian: {anomalies: {latency: , error: {track_codes: }}}",
    "guardian: {anomalies: {slow: {type: LATENCY, tool: any}}}",
    "guardian: {anomalies: {error: {track_codes: [EWOULDBLOCK, STATUS_ACCESS_DENIED]}}}",
    "watcher: {actions: [dmesg, of_tomorrow]}",
    "actions: {own: {command: [ls, -l], timeout_sec: 1}}",
    "guardian: {anomalies: {error: {track_commands: [SMB2_READ], track_codes: [0xC0000022]}}}",
    "guardian: {anomalies: {latency: {type: error, track_commands: [SMB2_READ]}}}",
    "guardian: {anomalies: {error: {rules: [{name: a, track_codes: ['0xC0000022']}]}}}",
    "anomalies: {}",
    "anomalies: {Smb: {LATENCY: {tool: smbslower, actions: {dmesg: , stats: {}, mounts: []}}}}",
    "anomalies: {nfs: {error: {rules: [{name: a, track_errors: [NFS4ERR_IO]}]}}}",
    "anomalies: {smb: {sockconn: {actions: {tcpdump: ['-C', '1', '-W', '9']}}}}",
    "recorder: {max_events: 2000.0}",
]

_WRONG = [
    "[]",
    "surprise: 1",
    "watch_interval_sec: '1'",
    "watch_interval_sec: true",
    "watch_interval_sec: -1",
    "watch_interval_sec:",
    "aod_output_dir: logs",
    "watcher: {actions: dmesg}",
    "watcher: {actions: [1]}",
    "guardian: {anomalies: {latency: {mode: most}}}",
    "guardian: {anomalies: {latency: {type: Weather}}}",
    "guardian: {anomalies: {latency: {acceptable_count: 1.5}}}",
    "guardian: {anomalies: {latency: {track_commands: [SMB2_READ]}}}",
    "guardian: {anomalies: {latency: {track_commands: [{threshold: 1}]}}}",
    "guardian: {anomalies: {latency: {track_commands: [{command: SMB2_RAED}]}}}",
    "guardian: {anomalies: {latency: {track_commands: [{command: SMB2_READ, threshold: -5}]}}}",
    "guardian: {anomalies: {error: {track_codes: [ENOTACODE]}}}",
    "guardian: {anomalies: {'a/b': {type: drift}}}",
    "guardian: {anomalies: {error: {rules: [{track_codes: [EIO]}]}}}",
    "guardian: {anomalies: {error: {track_codes: [0x103]}}}",
    "anomalies: {cifs: {}}",
    "anomalies: {smb: {latency: {tool: ss}}}",
    "anomalies: {smb: {latency: {actions: {dmesg: 1}}}}",
    "anomalies: {nfs: {error: {track_errors: [EIO]}}}",
    "anomalies: {}\nguardian: {}",
    "recorder: {max_events: 1}",
    "audit: {enabled: 1}",
    "actions: {own: {timeout_sec: 1}}",
    "actions: {own: {command: []}}",
    "actions: {own: {command: ['', x]}}",
    "on_bundle: ['']",
    "on_episode: ['  ', x]",
    "actions: {own: }",
]


@pytest.mark.parametrize("text", _RIGHT)
def test_right_files_validate(validator: Any, text: str) -> None:
    """What the loader takes the schema takes."""
    loads(text, "f")
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", _WRONG)
def test_gross_errors_do_not_validate(validator: Any, text: str) -> None:
    """What the loader refuses for itself the schema refuses; an editor underlines it."""
    with pytest.raises(ConfigError):
        loads(text, "f")
    assert not validator.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("folder", ["aodv2", "aodv2_newer"])
def test_aodv2s_own_files_validate(validator: Any, folder: str) -> None:
    """Every one that is right, and of the others those whose fault is in one place."""
    expected = json.loads((_HERE / folder / "expected.json").read_text())
    for name, values in expected.items():
        document = yaml.safe_load((_HERE / folder / name).read_text())
        assert validator.is_valid(document) or not values["ok"], name
    bad = {"aodv2": "bad-05.yaml", "aodv2_newer": "rules-bad-00.yaml"}[folder]
    document = yaml.safe_load((_HERE / folder / bad).read_text())
    assert validator.is_valid(document) == (folder == "aodv2_newer")


def _settings(section: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in section.get("properties", {}).items():
        yield f"{path}.{key}", value
        for below in (value, value.get("additionalProperties"), value.get("items")):
            if isinstance(below, dict):
                yield from _settings(below, f"{path}.{key}")


def test_every_setting_is_described() -> None:
    """An editor shows it; each description is a sentence or two."""
    described = dict(_settings(schema()))
    assert len(described) >= 40
    for path, setting in described.items():
        assert setting["description"].endswith("."), path


def test_defaults_of_the_schema_are_those_in_force() -> None:
    """Read back from an empty file."""
    effective = to_json(loads("guardian: {anomalies: {latency: {}}}", "f"))
    top = schema()["properties"]
    for section in ("collector", "recorder", "cleanup", "audit"):
        defaults = {key: s["default"] for key, s in top[section]["properties"].items()}
        assert defaults == effective[section]
    for key in ("watch_interval_sec", "aod_output_dir"):
        assert top[key]["default"] == effective[key]
    of_anomaly = top["guardian"]["properties"]["anomalies"]["additionalProperties"]["properties"]
    for key in ("acceptable_count", "emergency_threshold_ms", "cooldown_sec"):
        assert of_anomaly[key]["default"] == effective["anomalies"]["latency"][key]


def test_the_tables_have_the_fields_of_the_model() -> None:
    """A limit that is added to one must be added to the other."""
    config = loads("{}", "f")
    for setting in top().settings:
        if setting.key in {"collector", "recorder", "cleanup", "audit"}:
            assert isinstance(setting.kind, Section)
            fields = [field.name for field in dataclasses.fields(getattr(config, setting.key))]
            assert list(setting.kind.known_keys()) == fields


def test_an_anomaly_of_any_type_has_no_setting_of_no_type() -> None:
    """The union that the schema shows is that of the types."""
    assert set(any_anomaly().known_keys()) == {
        key for type_ in ANOMALY_TYPES for key in settings_of(type_).known_keys()
    }


def test_the_shipped_file_is_right_and_quiet() -> None:
    """No warnings, AODv2's codes, thresholds over what healthy servers need, room for evidence."""
    config = load(default_path())
    assert config.warnings == ()
    effective = to_json(config)
    assert list(effective["anomalies"]) == ["error", "latency", "hang", "connection", "drift"]
    assert effective["anomalies"]["error"]["codes"] == ["EACCES", "EAGAIN", "EIO"]
    thresholds_ms = effective["anomalies"]["latency"]["thresholds_ms"]
    assert (len(thresholds_ms), thresholds_ms["SMB2_READ"], thresholds_ms["SMB2_WRITE"]) == (
        *(20, 100),
        200,
    )
    assert set(config.watcher_actions) == BUILTIN.keys() > set(DEFAULT_ACTIONS)
    assert config.cleanup.max_total_log_size_mb == 200


def test_what_the_shipped_file_comments_out_is_the_default() -> None:
    """Removing the # of every such line changes nothing."""
    assert loads(_COMMENTED_OUT.sub(r"\1", _SHIPPED), "f") == loads(_SHIPPED, "f")


def _keys(kind: object) -> Iterator[str]:
    if isinstance(kind, Section):
        for setting in kind.settings:
            yield setting.key
            yield from _keys(setting.kind)
    elif isinstance(kind, MapOf):
        yield from _keys(kind.section)
    elif isinstance(kind, ListOf):
        yield from _keys(kind.item)


@pytest.mark.parametrize("key", sorted(set(_keys(top())) - {"tool"}))
def test_the_shipped_file_mentions_every_setting(key: str) -> None:
    """Whoever reads it has seen all there is; tool is AODv2's and does nothing."""
    assert re.search(rf"^[ #-]*{key}:", _SHIPPED, re.MULTILINE)


def test_the_shipped_files_example_of_an_action_is_right() -> None:
    """It can be copied as it stands."""
    text = _SHIPPED[_SHIPPED.index("# Commands of your own") :]
    example = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    (action,) = loads("\n".join(example), "f").user_actions
    assert action.name == "routes"


def test_the_configuration_does_without_numpy() -> None:
    """check-config runs where only it is wanted, and at once."""
    code = "import sys, aodasync.cli.check_config; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
