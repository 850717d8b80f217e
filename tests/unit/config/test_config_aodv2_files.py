# SPDX-License-Identifier: MIT
"""AODv2's configurations give exactly what AODv2's own loader made of them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aodasync.config.commands import check_config

# A collection of AODv2 files with their expected outcome, beside the checkout. It is not
# part of the repository; test_config_modes.py holds the rules without it.
_SAMPLES = Path(__file__).parents[4] / "shared" / "aodv2-configs"
_EXPECTED: dict[str, dict[str, Any]] = (
    json.loads((_SAMPLES / "expected.json").read_text()) if _SAMPLES.is_dir() else {}
)
_TAKEN = [name for name, expected in _EXPECTED.items() if expected["ok"]]
_REFUSED = [name for name, expected in _EXPECTED.items() if not expected["ok"]]

pytestmark = pytest.mark.skipif(not _EXPECTED, reason="no AODv2 files beside the checkout")


def _check(name: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = check_config(_SAMPLES / name, as_json=True, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", _TAKEN)
def test_a_file_that_aodv2_takes_means_the_same(name: str) -> None:
    """Counts, actions, thresholds, codes, interval, paths and retention are AODv2's."""
    code, out, _ = _check(name)
    got, expected = json.loads(out), _EXPECTED[name]
    assert code == 0
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


@pytest.mark.parametrize("name", _TAKEN)
def test_aodv2s_warnings_are_given_once_each(name: str) -> None:
    """Where AODv2 warns of an ignored list so do we, as often."""
    _, _, err = _check(name)
    assert (
        len(re.findall(r": ignored in mode |: found '\w+' again", err))
        == (_EXPECTED[name]["warnings"])
    )


@pytest.mark.parametrize("name", _REFUSED)
def test_a_file_that_aodv2_refuses_is_refused(name: str) -> None:
    """It exits 78, prints nothing on stdout, and names the word that AODv2 names."""
    code, out, err = _check(name)
    culprit = re.findall(r"SMB2_READ|EIO|ENOTACODE|Weather|-5|fast|latency", _EXPECTED[name]["why"])
    assert code == 78
    assert not out
    assert re.match(rf"{re.escape(str(_SAMPLES / name))}:\d+:\d+: guardian\.\S+: ", err)
    assert culprit[-1] in err
