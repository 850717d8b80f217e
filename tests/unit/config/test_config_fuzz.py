# SPDX-License-Identifier: MIT
"""Whatever is in a file, the loader gives a configuration or a ConfigError."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aodasync.config import Config, default_path, loads, to_json, to_yaml
from aodasync.config.actions import USER_ACTION
from aodasync.config.anomalies import ANOMALY_TYPES
from aodasync.config.guardian import any_anomaly
from aodasync.config.settings import top
from aodasync.errors import ConfigError

_KEYS = [
    *top().known_keys(),
    *any_anomaly().known_keys(),
    *USER_ACTION.known_keys(),
    *ANOMALY_TYPES,
    *("anomalies", "command", "threshold", "tcpdump", "<<"),
]
_WORDS = [*_KEYS, "SMB2_READ", "EIO", "STATUS_DISK_FULL", "all", "trackonly", "dmesg", "/a"]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(_WORDS)
    | st.text(max_size=8)
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)
_ANOMALIES = st.dictionaries(
    st.sampled_from([*ANOMALY_TYPES, "own"]),
    st.none()
    | st.dictionaries(st.sampled_from(any_anomaly().known_keys()), _DOCUMENTS, max_size=5),
    max_size=4,
)
_NEWER_KEYS = ["tool", "mode", "actions", "track_commands", "track_errors", "rules", "name"]
_NEWER = st.dictionaries(
    st.sampled_from(["smb", "SMB", "nfs", "io", "x"]),
    st.none()
    | st.dictionaries(
        st.sampled_from(["latency", "error", "sockconn", "x"]),
        st.dictionaries(st.sampled_from(_NEWER_KEYS), _DOCUMENTS, max_size=5),
        max_size=4,
    ),
    max_size=4,
)
_PIECES = [
    *_WORDS,
    *(
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        ": ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "\\x",
        "\\U0011",
        "#",
    ),
    *("&a ", "*a", "<<: ", "!!int ", "!x ", "? ", "| ", "> ", "---\n", "%YAML 1.1\n", "\t", "\r\n"),
    *("1", "-5", ".nan", "0x_", "1:60", "2020-13-45", "~", "\ufeff", "\x00", "\ud800", "ü", "\x85"),
]


_unhurried = settings(deadline=None)  # wall time says nothing on a busy machine


def _load(text: str) -> Config | None:
    try:
        return loads(text, "f")
    except ConfigError as error:
        refusal = error
    lines = str(refusal).splitlines()
    assert len(lines) == len(refusal.problems)
    for line in lines:
        assert re.match(r"f:[1-9]\d*:[1-9]\d*: .+?: .", line)
    return None


@_unhurried
@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join) | st.text(max_size=60))
@example("{" * 500)
@example("&a [" * 40)
@example('? "')
def test_any_text_is_read_or_refused(text: str) -> None:
    """Never anything but ConfigError, each problem one line with a position."""
    _load(text)


@_unhurried
@given(
    _DOCUMENTS
    | _ANOMALIES.map(lambda anomalies: {"guardian": {"anomalies": anomalies}})
    | _NEWER.map(lambda anomalies: {"anomalies": anomalies})
)
def test_any_document_is_read_or_refused(document: Any) -> None:
    """And what is read can be shown."""
    config = _load(yaml.dump(document, allow_unicode=True))
    if config is not None:
        assert yaml.safe_load(to_yaml(config)) == json.loads(json.dumps(to_json(config)))


@_unhurried
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    """One place of the shipped file is replaced."""
    text = default_path().read_text()
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    _load(text[:start] + data.draw(st.sampled_from(_PIECES)) + text[start + length :])
