# SPDX-License-Identifier: MIT
"""AODv2's configurations, in both of its formats, give what AODv2's own loader made of them.

``aodv2`` and ``aodv2_newer`` hold ten files each and what to expect of them. In the newer
ones ``at`` and ``lines`` are the keys at fault and the lines that these span; ``windows``
are failures of one interval and the rules that fire, for the tests of the detector.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aodasync.cli.check_config import check_config

_HERE = Path(__file__).parent
_OLDER = json.loads((_HERE / "aodv2" / "expected.json").read_text())
_NEWER = json.loads((_HERE / "aodv2_newer" / "expected.json").read_text())
_AODV2_WARNINGS = re.compile(r": ignored in mode |: found '\w+' again")


def _check(path: Path) -> tuple[int, dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    code = check_config(path, as_json=True, out=out, err=err)
    return code, json.loads(out.getvalue()), err.getvalue()


def _taken(expected: dict[str, Any]) -> list[str]:
    return [name for name, values in expected.items() if values["ok"]]


def _refused(expected: dict[str, Any]) -> list[str]:
    return [name for name, values in expected.items() if not values["ok"]]


def test_there_are_ten_files_of_each_format() -> None:
    """Each with an expectation."""
    for folder, expected in (("aodv2", _OLDER), ("aodv2_newer", _NEWER)):
        assert sorted(expected) == sorted(p.name for p in (_HERE / folder).glob("*.yaml"))
        assert len(expected) == 10


@pytest.mark.parametrize("name", _taken(_OLDER))
def test_an_older_file_means_the_same(name: str) -> None:
    """Counts, actions, thresholds, codes, interval, paths and retention are AODv2's."""
    code, got, _ = _check(_HERE / "aodv2" / name)
    expected = _OLDER[name]
    assert (code, got["ok"]) == (0, True)
    for anomaly, values in expected["anomalies"].items():
        assert got["anomalies"][anomaly].items() >= values.items()
        for mapping in ("thresholds_ms", "codes"):  # the same order as well
            assert json.dumps(got["anomalies"][anomaly].get(mapping)) == json.dumps(
                values.get(mapping)
            )
    assert set(got["anomalies"]) - set(expected["anomalies"]) == {"hang", "connection", "drift"}
    assert got["cleanup"].items() >= expected["cleanup"].items()
    for key in ("watch_interval_sec", "aod_output_dir", "audit"):
        assert got[key] == expected[key]


@pytest.mark.parametrize("name", _refused(_OLDER))
def test_an_older_file_that_aodv2_refuses_is_refused(name: str) -> None:
    """It exits 78 and names the word that AODv2 names, in one line with a place."""
    path = _HERE / "aodv2" / name
    code, got, err = _check(path)
    culprit = re.findall(r"SMB2_READ|EIO|ENOTACODE|Weather|-5|fast|latency", _OLDER[name]["why"])
    assert (code, got["ok"]) == (78, False)
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: guardian\.\S+: ", err)
    assert culprit[-1] in err


@pytest.mark.parametrize("name", _taken(_NEWER))
def test_a_newer_file_means_the_same(name: str) -> None:
    """What is of smb is watched, under our names; all else is shown as AODv2 has it."""
    code, got, _ = _check(_HERE / "aodv2_newer" / name)
    expected = _NEWER[name]
    assert (code, got["ok"]) == (0, True)
    anomalies = dict(expected["anomalies"])
    watched = anomalies.pop("smb", {})
    assert got["unwatched"] == anomalies
    for type_, values in watched.items():
        anomaly = got["anomalies"]["connection" if type_ == "sockconn" else type_]
        assert _as_aodv2(anomaly).items() >= _without_captures(values).items()
    tools = {tool for values in watched.values() for tool in values["captures"]}
    assert set(got["captures"]) == tools
    assert got["cleanup"].items() >= expected["cleanup"].items()
    for key in ("watch_interval_sec", "aod_output_dir"):
        assert got[key] == expected[key]


def _as_aodv2(anomaly: dict[str, Any]) -> dict[str, Any]:
    """With NTSTATUS names among the codes."""
    type_ = {"connection": "sockconn"}.get(anomaly["type"], anomaly["type"])
    rules = [
        {**rule, "codes": [*rule["codes"], *rule["statuses"]]} for rule in anomaly.get("rules", ())
    ]
    for rule in rules:
        del rule["statuses"]
    codes = [*anomaly.get("codes", ()), *anomaly.get("statuses", ())]
    return {**anomaly, "type": type_, "rules": rules, "codes": codes}


def _without_captures(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "captures"}


@pytest.mark.parametrize("name", _refused(_NEWER))
def test_a_newer_file_that_aodv2_refuses_is_refused(name: str) -> None:
    """With one problem, in a line at fault."""
    code, got, err = _check(_HERE / "aodv2_newer" / name)
    assert (code, got["ok"]) == (78, False)
    (problem,) = got["problems"]
    lines = _NEWER[name]["lines"]
    assert any(first <= problem["line"] <= last for first, last in lines)
    assert f"{problem['line']}:{problem['column']}: {problem['key']}: {problem['message']}" in err


@pytest.mark.parametrize("folder", ["aodv2", "aodv2_newer"])
def test_aodv2s_warnings_are_given_once_each(folder: str) -> None:
    """Where AODv2 warns of an ignored list or a repeated name so do we, as often."""
    expected = _OLDER if folder == "aodv2" else _NEWER
    for name in _taken(expected):
        _, got, err = _check(_HERE / folder / name)
        assert len(_AODV2_WARNINGS.findall(err)) == expected[name]["warnings"], name
        assert err.count("aodasync: warning: ") == len(got["warnings"])
