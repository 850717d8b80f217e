# SPDX-License-Identifier: MIT
"""What ``check-config`` and ``config-schema`` print, and where files are found."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import yaml

from aodasync.cli.check_config import check_config, config_schema
from aodasync.config import default_path, files, find, load, to_json, to_yaml
from aodasync.errors import ConfigError, NotPermittedError

_FILE = """\
watch_interval_sec: 0.5
guardian:
  anomalies:
    latency:
      mode: trackonly
      track_commands: [{command: SMB2_READ, threshold: 2.5}, {command: SMB2_CLOSE}]
      exclude_commands: [SMB2_WRITE]
    error:
      mode: trackonly
      track_codes: [EIO, STATUS_DISK_FULL]
    hang: {enabled: false}
    connection: {enabled: false}
    drift: {enabled: false}
actions:
  routes: {command: [ip, route], timeout_sec: 3}
watcher: {actions: [routes]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a little of everything."""
    file = tmp_path / "config.yaml"
    file.write_text(_FILE)
    return file


def _check(path: Path, *, as_json: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return check_config(path, as_json=as_json, out=out, err=err), out.getvalue(), err.getvalue()


def test_json_shows_the_effective_configuration(path: Path) -> None:
    """AODv2's keys and ours; whole numbers are whole."""
    code, out, _ = _check(path, as_json=True)
    assert code == 0
    assert json.loads(out) == {
        "ok": True,
        "warnings": [
            {
                "file": str(path),
                "line": 7,
                "column": 7,
                "key": "guardian.anomalies.latency.exclude_commands",
                "message": "ignored in mode trackonly",
            }
        ],
        "captures": [],
        "unwatched": {},
        "origins": {},
        "source": str(path),
        "watch_interval_sec": 0.5,
        "aod_output_dir": "/var/log/aod",
        "watcher": {"actions": ["routes"], "captures": []},
        "anomalies": {
            "latency": {
                "type": "latency",
                "thresholds_ms": {"SMB2_CLOSE": 10, "SMB2_READ": 2.5},
                "named_commands": ["SMB2_CLOSE", "SMB2_READ"],
                "acceptable_count": 10,
                "emergency_threshold_ms": 1000,
                "actions": ["routes"],
                "cooldown_sec": 60,
            },
            "error": {
                "type": "error",
                "codes": ["EIO"],
                "statuses": ["STATUS_DISK_FULL"],
                "excluded_statuses": [],
                "named_codes": ["EIO", "STATUS_DISK_FULL"],
                "acceptable_count": 10,
                "actions": ["routes"],
                "cooldown_sec": 60,
                "commands": [],
                "rules": [],
            },
        },
        "collector": {
            "max_concurrent": 4,
            "action_timeout_sec": 10,
            "max_action_bytes": 8388608,
            "look_back_sec": 300,
            "max_bundles_per_hour": 20,
            "tcpdump_mb": 16,
            "tcpdump_packet_bytes": 160,
        },
        "recorder": {"max_events": 50000, "ring_bytes": 8388608, "file_names": True},
        "cleanup": {
            "cleanup_interval_sec": 60,
            "max_log_age_days": 2,
            "max_total_log_size_mb": 200,
            "min_free_mb": 100,
        },
        "audit": {"enabled": True},
        "metrics": {"textfile": ""},
        "control": {"group": ""},
        "on_bundle": [],
        "on_episode": [],
        "actions": {"routes": {"command": ["ip", "route"], "timeout_sec": 3}},
    }
    assert '"max_total_log_size_mb": 200,' in out


def test_yaml_shows_the_same(path: Path) -> None:
    """Readably: thresholds one a line, lists in one."""
    code, out, _ = _check(path)
    assert code == 0
    assert yaml.safe_load(out) == to_json(load(path))
    assert "      SMB2_READ: 2.5\n" in out
    assert "    actions: [routes]\n" in out
    assert out == to_yaml(load(path))


def test_warnings_go_to_stderr_with_their_place(path: Path) -> None:
    """Nothing but the configuration is on stdout."""
    _, _, err = _check(path)
    assert err == (
        f"aodasync: warning: {path}:7:7: "
        "guardian.anomalies.latency.exclude_commands: ignored in mode trackonly\n"
    )


def test_problems_go_to_stderr_one_a_line(path: Path) -> None:
    """As compilers do it, so that editors can jump to them."""
    path.write_text("a: 1\naudit: 7\n")
    code, out, err = _check(path)
    assert (code, out) == (78, "")
    first, second = err.splitlines()
    assert first.startswith(f"{path}:1:1: a: unknown key")
    assert second == f"{path}:2:8: audit: expected a mapping, found 7"


def test_json_shows_problems_as_well(path: Path) -> None:
    """For programs; a person still finds them on stderr."""
    path.write_text("a: 1\naudit: 7\n")
    code, out, err = _check(path, as_json=True)
    shown = json.loads(out)
    assert (code, shown["ok"], len(shown["problems"])) == (78, False, 2)
    assert shown["problems"][1] == {
        "file": str(path),
        "line": 2,
        "column": 8,
        "key": "audit",
        "message": "expected a mapping, found 7",
    }
    assert len(err.splitlines()) == 2


def test_strict_refuses_what_is_warned_of(path: Path) -> None:
    """For a pipeline that tests files before they are rolled out."""
    out, err = io.StringIO(), io.StringIO()
    assert check_config(path, as_json=True, out=out, err=err, strict=True) == 78
    (problem,) = json.loads(out.getvalue())["problems"]
    assert problem["message"] == "ignored in mode trackonly"
    assert err.getvalue().startswith(f"{path}:7:7: guardian.")
    path.write_text("{}")
    assert check_config(path, as_json=True, out=out, err=err, strict=True) == 0


def test_strict_refuses_it_beside_errors_too(path: Path) -> None:
    """In file order: one round of fixing is enough. Otherwise the errors alone are shown."""
    path.write_text("watcher: {actions: [dmesg, dmseg]}\naudit: 7\nrecorder: {max_events: 1}\n")
    for strict, lines in ((False, [2, 3]), (True, [1, 2, 3])):
        out, err = io.StringIO(), io.StringIO()
        assert check_config(path, as_json=True, out=out, err=err, strict=strict) == 78
        assert [problem["line"] for problem in json.loads(out.getvalue())["problems"]] == lines
        assert len(err.getvalue().splitlines()) == len(lines)


def test_what_cannot_be_read_is_refused_with_a_hint(tmp_path: Path) -> None:
    """A missing file, a directory and a FIFO; none of them waits."""
    os.mkfifo(tmp_path / "fifo")
    for name, why in {
        "missing": "No such file or directory",
        ".": "Is a directory",
        "fifo": "not a regular file",
    }.items():
        code, _, err = _check(tmp_path / name)
        assert code == 78
        assert err.startswith(f"{tmp_path / name}:1:1: (file): cannot be read: {why} (hint: give")


def test_an_unreadable_file_is_refused(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A caller who may not read it gets exit 77; root may read everything, so it is simulated."""

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(NotPermittedError, match=r"config\.yaml: permission denied"):
        load(path)


def test_a_large_file_is_refused(path: Path) -> None:
    """One MiB is the limit; up to there it is read."""
    path.write_bytes(b"{}\n#" + b"x" * ((1 << 20) - 4))
    load(path)
    path.write_bytes(b"{}\n#" + b"x" * ((1 << 20) - 3))
    with pytest.raises(
        ConfigError, match=r"1:1: \(file\): expected a few kilobytes, found more than 1 MiB"
    ):
        load(path)


def test_text_that_is_not_utf_8_is_refused_where_it_stands(path: Path) -> None:
    """The column counts characters."""
    path.write_bytes("audit: {}\n# ü ".encode() + b"\xfc")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:2:5: (file): expected UTF-8, found the byte 0xfc"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_windows_calls_unicode_is_told_by_its_name(path: Path, encoding: str) -> None:
    """Notepad and PowerShell write it; a byte says nothing to whoever used them."""
    path.write_bytes("\ufeffaudit: {}".encode(encoding))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}:1:1: (file): expected UTF-8, found UTF-16, as Windows writes it; "
        "iconv -f UTF-16 -t UTF-8 converts it"
    )


def test_a_byte_order_mark_of_utf_8_is_no_fault(path: Path) -> None:
    """Notepad writes one as well."""
    path.write_bytes("\ufeffwatch_interval_sec: 3\r\n".encode())
    assert load(path).watch_interval_sec == 3


def test_a_byte_order_mark_is_taken(path: Path) -> None:
    """Some editors write one."""
    path.write_bytes(b"\xef\xbb\xbfwatch_interval_sec: 3\n")
    assert load(path).watch_interval_sec == 3


def test_a_file_that_anybody_can_write_is_warned_of(path: Path) -> None:
    """It names commands that root runs."""
    path.write_text("{}")
    path.chmod(0o666)
    (warning,) = load(path).warnings
    assert str(warning).startswith(f"{path}:1:1: (file): anybody can write this file")


def test_the_file_is_the_given_one_else_the_administrators_else_the_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order."""
    system = tmp_path / "etc" / "config.yaml"
    monkeypatch.setattr(files, "SYSTEM_PATH", system)
    assert find(Path("given")) == Path("given")
    assert find(None) == default_path()
    system.parent.mkdir()
    assert find(None) == default_path()
    system.touch()
    assert find(None) == system


def test_an_administrators_file_out_of_reach_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checking the packaged file instead would deceive."""

    class OutOfReach:
        def lstat(self) -> None:
            raise PermissionError

    out_of_reach = OutOfReach()
    monkeypatch.setattr(files, "SYSTEM_PATH", out_of_reach)
    assert find(None) is out_of_reach  # type: ignore[comparison-overlap]


def test_the_schema_is_printed_as_json() -> None:
    """Ready to be saved for an editor."""
    out = io.StringIO()
    assert config_schema(out) == 0
    assert json.loads(out.getvalue())["title"] == "aodasync configuration"


def test_what_differs_from_the_defaults_can_be_shown_alone(tmp_path: Path) -> None:
    """Down to single thresholds; a file that says what is so anyhow shows nothing."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "guardian:\n  anomalies:\n    drift: {enabled: false}\n"
        "    latency: {track_commands: [{command: SMB2_READ, threshold: 99}]}\n"
        "watch_interval_sec: 1\ncleanup: {min_free_mb: 7, max_log_age_days: 2}\n"
    )
    out = io.StringIO()
    assert check_config(path, as_json=False, out=out, err=io.StringIO(), changed=True) == 0
    assert yaml.safe_load(out.getvalue()) == {
        "source": str(path),
        "anomalies": {
            "latency": {"thresholds_ms": {"SMB2_READ": 99}, "named_commands": ["SMB2_READ"]},
            "drift": {"enabled": False},
        },
        "cleanup": {"min_free_mb": 7},
    }
    path.write_text("{}")
    out = io.StringIO()
    assert check_config(path, as_json=True, out=out, err=io.StringIO(), changed=True) == 0
    assert json.loads(out.getvalue()) == {
        "ok": True,
        "source": str(path),
        "warnings": [],
        "origins": {},
    }


@pytest.mark.parametrize(
    ("lists", "watched", "left_out"),
    [
        ("mode: trackonly, track_commands: [{command: SMB2_READ}]", "SMB2_READ", "SMB2_WRITE"),
        ("exclude_commands: [SMB2_WRITE]", "SMB2_READ", "SMB2_WRITE"),
    ],
)
def test_commands_that_are_no_longer_watched_differ(
    tmp_path: Path, lists: str, watched: str, left_out: str
) -> None:
    """Though each of those that are left has the usual threshold: all of them are shown."""
    path = tmp_path / "c.yaml"
    path.write_text(f"guardian: {{anomalies: {{latency: {{{lists}}}}}}}")
    out = io.StringIO()
    assert check_config(path, as_json=True, out=out, err=io.StringIO(), changed=True) == 0
    shown = json.loads(out.getvalue())["anomalies"]["latency"]["thresholds_ms"]
    assert shown[watched] == 10
    assert left_out not in shown
