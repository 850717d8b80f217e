# SPDX-License-Identifier: MIT
"""Settings of /etc/aodasync/conf.d over those of the file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml

from aodasync.cli.check_config import check_config
from aodasync.config import files, load
from aodasync.config.model import ErrorAnomaly, LatencyAnomaly
from aodasync.errors import ConfigError

_MAIN = """\
watch_interval_sec: 2
watcher: {actions: [dmesg, stats]}
guardian:
  anomalies:
    latency:
      acceptable_count: 7
      exclude_commands: [SMB2_ECHO]
cleanup: {max_log_age_days: 9, min_free_mb: 5}
"""


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/etc/aodasync with a file, and a directory for others."""
    monkeypatch.setattr(files, "SYSTEM_PATH", tmp_path / "config.yaml")
    monkeypatch.setattr(files, "DROP_INS", tmp_path / "conf.d")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "config.yaml").write_text(_MAIN)
    return tmp_path


def test_drop_ins_apply_in_the_order_of_their_names(etc: Path) -> None:
    """Mappings key by key, lists as a whole; what is announced and empty changes nothing."""
    (etc / "conf.d" / "20-late.yaml").write_text("watch_interval_sec: 5\nwatcher:\n")
    (etc / "conf.d" / "10-early.yaml").write_text(
        "watch_interval_sec: 4\n"
        "guardian: {anomalies: {latency: {exclude_commands: [SMB2_LOCK]}, hang: {age_ms: 10}}}\n"
        "cleanup: {min_free_mb: 6}\n"
    )
    config = load()
    latency = config.anomalies[0]
    assert isinstance(latency, LatencyAnomaly)
    assert config.source == etc / "config.yaml"
    assert config.watch_interval_sec == 5
    assert config.watcher_actions == ("dmesg", "stats")
    assert latency.acceptable_count == 7
    assert "SMB2_ECHO" in latency.thresholds_ms
    assert "SMB2_LOCK" not in latency.thresholds_ms
    assert (config.cleanup.max_log_age_days, config.cleanup.min_free_mb) == (9, 6)
    assert [anomaly.name for anomaly in config.anomalies][:2] == ["latency", "hang"]


_RULES = "guardian: {anomalies: {error: {rules: [{name: full, track_codes: [ENOSPC]}]}}}\n"
_LISTS = "guardian: {anomalies: {error: {track_codes: [EACCES]}}}\n"


def test_rules_stand_in_place_of_the_lists_of_files_before(etc: Path) -> None:
    """So a drop-in needs no copy of the shipped file; lists after rules are refused, by place."""
    (etc / "config.yaml").write_text(_LISTS)
    (etc / "conf.d" / "10.yaml").write_text(_RULES)
    (error,) = (a for a in load().anomalies if a.name == "error")
    assert isinstance(error, ErrorAnomaly)
    assert [rule.name for rule in error.rules] == ["full"]
    (etc / "config.yaml").write_text(_RULES)
    (etc / "conf.d" / "10.yaml").write_text(_LISTS)
    with pytest.raises(ConfigError) as caught:
        load()
    assert [(p.file, p.line) for p in caught.value.problems] == [(f"{etc}/conf.d/10.yaml", 1)]


def test_only_visible_yaml_files_are_drop_ins(etc: Path) -> None:
    """Not what an editor or a package manager leaves there; nor need there be a directory."""
    for name in (".a.yaml", "a.yaml~", "a.yaml.rpmnew", "a.yml"):
        (etc / "conf.d" / name).write_text("not: [right")
    assert load().watch_interval_sec == 2
    assert not load().origins
    for file in (etc / "conf.d").iterdir():
        file.unlink()
    (etc / "conf.d").rmdir()
    assert load().watch_interval_sec == 2


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "null\n"])
def test_a_drop_in_may_hold_nothing(etc: Path, text: str) -> None:
    """A package's example, all of it remarks, changes nothing."""
    (etc / "conf.d" / "a.yaml").write_text(text)
    assert load().watch_interval_sec == 2


@pytest.mark.parametrize("name", ["a.yml", "a.YAML", "a.json", "a.conf", "a.Yaml"])
def test_a_name_that_is_almost_right_is_warned_of(etc: Path, name: str) -> None:
    """Its settings would be missed without a word."""
    (etc / "conf.d" / name).write_text("watch_interval_sec: 4")
    (warning,) = load().warnings
    assert str(warning).startswith(f"{etc}/conf.d/{name}:1:1: (file): not read: the name of a file")


def test_a_file_that_is_given_stands_alone(etc: Path) -> None:
    """Checking a file before it is installed must not depend on this host."""
    (etc / "conf.d" / "a.yaml").write_text("watch_interval_sec: 4")
    assert load(etc / "config.yaml").watch_interval_sec == 2


def test_drop_ins_go_with_the_packaged_file_too(etc: Path) -> None:
    """One setting of one's own needs no copy of all others."""
    (etc / "config.yaml").unlink()
    (etc / "conf.d" / "a.yaml").write_text("watch_interval_sec: 4")
    assert load().watch_interval_sec == 4
    assert "error" in {anomaly.name for anomaly in load().anomalies}


def test_problems_name_the_file_that_is_wrong(etc: Path) -> None:
    """Of each file its own; a contradiction names both."""
    (etc / "conf.d" / "a.yaml").write_text("watch_interval_sec: fast\n")
    (etc / "conf.d" / "b.yaml").write_text(
        "guardian:\n  anomalies:\n    latency: {track_commands: [{command: SMB2_ECHO}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.file == f"{etc}/conf.d/a.yaml"  # what config_refused says
    first, second = (str(problem) for problem in caught.value.problems)
    assert first.startswith(f"{etc}/conf.d/a.yaml:1:21: watch_interval_sec: expected a number")
    assert second == (
        f"{etc}/config.yaml:7:26: guardian.anomalies.latency.exclude_commands[0]: expected "
        "'SMB2_ECHO' in one of the two lists, found it tracked in line 3 of "
        f"{etc}/conf.d/b.yaml too"
    )


def test_syntax_errors_and_unreadable_files_name_themselves(etc: Path) -> None:
    """A drop-in that cannot be used is never passed over."""
    (etc / "conf.d" / "a.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"conf\.d/a\.yaml:1:5: \(file\): not valid YAML"):
        load()
    (etc / "conf.d" / "a.yaml").unlink()
    (etc / "conf.d" / "a.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"conf\.d/a\.yaml:1:1: \(file\): cannot be read"):
        load()


def test_every_file_that_cannot_be_read_is_named(etc: Path) -> None:
    """With what is known to be wrong in the others: one round of fixing is enough."""
    (etc / "conf.d" / "a.yaml").write_text("cleanup:\n\tmin_free_mb: 3\n")
    (etc / "conf.d" / "b.yaml").write_bytes(b"aod_output_dir: /srv/\xe4\n")
    (etc / "conf.d" / "c.yaml").mkdir()
    (etc / "config.yaml").write_text("audit:\naudit:\n")
    with pytest.raises(ConfigError) as caught:
        load()
    conf_d = etc / "conf.d"
    assert [str(problem) for problem in caught.value.problems] == [
        f"{conf_d}/a.yaml:2:1: (file): expected spaces, found a tab",
        f"{conf_d}/b.yaml:1:22: (file): expected UTF-8, found the byte 0xe4",
        f"{conf_d}/c.yaml:1:1: (file): cannot be read: Is a directory",
        (f"{etc}/config.yaml:2:1: audit: expected the key once, found it in line 1 and in line 2"),
    ]


def test_a_directory_that_anybody_can_write_is_warned_of(etc: Path) -> None:
    """A file in it names commands that root runs."""
    (etc / "conf.d").chmod(0o777)
    (warning,) = load().warnings
    assert str(warning).startswith(f"{etc}/conf.d:1:1: (file): anybody can write this directory")


def test_both_formats_cannot_be_mixed(etc: Path) -> None:
    """As in one file."""
    (etc / "conf.d" / "a.yaml").write_text("anomalies: {}\n")
    with pytest.raises(ConfigError, match=r"found both \(line 1 of .*conf\.d/a\.yaml\)"):
        load()


def test_check_config_says_where_each_value_is_from(etc: Path) -> None:
    """In JSON by key; in YAML as comments behind the configuration."""
    (etc / "conf.d" / "a.yaml").write_text("# ours\nwatch_interval_sec: 4\n")
    out = io.StringIO()
    assert check_config(None, as_json=True, out=out, err=io.StringIO()) == 0
    origins = json.loads(out.getvalue())["origins"]
    assert origins["watch_interval_sec"] == f"{etc}/conf.d/a.yaml:2"
    assert origins["cleanup.min_free_mb"] == f"{etc}/config.yaml:8"
    out = io.StringIO()
    assert check_config(None, as_json=False, out=out, err=io.StringIO()) == 0
    assert f"\n# watch_interval_sec: {etc}/conf.d/a.yaml:2\n" in out.getvalue()
    assert yaml.safe_load(out.getvalue())["watch_interval_sec"] == 4


@pytest.mark.parametrize(
    ("early", "problem"),
    [
        ("- 5\n", "1:1: (file): expected a mapping, found a list"),
        ("cleanup: off\n", "1:10: cleanup: expected a mapping, found false"),
        (
            "guardian:\n  anomalies:\n    latency: [7]\n",
            "3:14: guardian.anomalies.latency: expected a mapping, found a list",
        ),
    ],
)
def test_a_later_file_does_not_hide_what_stands_for_a_mapping(
    etc: Path, early: str, problem: str
) -> None:
    """It would have replaced the settings of the files before it, without a word."""
    (etc / "conf.d" / "10-early.yaml").write_text(early)
    (etc / "conf.d" / "20-late.yaml").write_text(
        "cleanup: {min_free_mb: 6}\nguardian: {anomalies: {latency: {acceptable_count: 3}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value) == f"{etc}/conf.d/10-early.yaml:{problem}"


def test_a_mapping_takes_the_place_of_one_that_was_only_announced(etc: Path) -> None:
    """``cleanup:`` in the file, its settings in a drop-in."""
    (etc / "config.yaml").write_text("cleanup:\n")
    (etc / "conf.d" / "a.yaml").write_text("cleanup: {min_free_mb: 6}\n")
    assert load().cleanup.min_free_mb == 6


def test_a_file_in_place_of_the_directory_is_warned_of(etc: Path) -> None:
    """``cp fleet.yaml /etc/aodasync/conf.d`` makes it, where there is no directory yet."""
    (etc / "conf.d").rmdir()
    (etc / "conf.d").write_text("watch_interval_sec: 4")
    (warning,) = load().warnings
    assert str(warning) == (
        f"{etc}/conf.d:1:1: (file): not read: expected a directory of files that end in .yaml"
    )


def test_a_directory_that_is_a_link_to_nowhere_is_refused(etc: Path) -> None:
    """Like a file that is one: what all hosts share may not have been mounted."""
    (etc / "conf.d").rmdir()
    (etc / "conf.d").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"conf\.d:1:1: \(file\): cannot be read: No such file"):
        load()


@pytest.mark.parametrize("name", ["config.yml", "config.YAML", "config.json"])
def test_a_misnamed_file_of_the_administrator_is_warned_of(etc: Path, name: str) -> None:
    """The agent would run by the packaged one without a word; beside the right one it is not."""
    (etc / "config.yaml").rename(etc / name)
    (warning,) = load().warnings
    assert str(warning) == (
        f"{etc}/{name}:1:1: (file): not read: the name of this file must be config.yaml"
    )
    (etc / "config.yaml").write_text(_MAIN)
    assert not load().warnings
    assert not load(etc / "config.yaml").warnings


def test_a_name_in_another_case_is_another_anomaly_and_warned_of(etc: Path) -> None:
    """``Latency``, as types are written, does not change ``latency``: it stands beside it."""
    (etc / "conf.d" / "a.yaml").write_text("guardian: {anomalies: {Latency: {cooldown_sec: 3}}}")
    config = load()
    assert [anomaly.name for anomaly in config.anomalies][:2] == ["latency", "Latency"]
    (warning,) = config.warnings
    assert str(warning) == (
        f"{etc}/conf.d/a.yaml:1:24: guardian.anomalies.Latency: one more than that of line 5 of "
        f"{etc}/config.yaml: case counts in names"
    )
