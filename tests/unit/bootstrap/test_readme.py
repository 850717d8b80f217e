# SPDX-License-Identifier: MIT
"""What the README shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

from aodasync import config
from aodasync.actions import BUILTIN
from aodasync.cli.arguments import parser
from bootstrap import ROOT, TEST_SESSIONS

README = (ROOT / "README.md").read_text()


def test_example_configuration_is_accepted(tmp_path: Path) -> None:
    """The configuration in the README is valid and raises no warning."""
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(example)
    loaded = config.load(file)
    assert loaded.warnings == ()
    assert [a.name for a in loaded.anomalies] == ["latency", "error", "hang", "connection"]


def test_every_file_of_a_bundle_is_in_its_table() -> None:
    """What an action or a capture writes is listed, and nothing is that none of them writes."""
    section = README.partition("## Bundles")[2].partition("## Overhead")[0]
    cells = " ".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))
    listed = set(re.findall(r"`([\w-]+\.\w+)`", cells))
    written = {action.file for action in BUILTIN.values()} | {"tcpdump.pcap", "trace-cmd.log"}
    own = {"manifest.json", "events.npy", "files.json", "samples.json"}
    own |= {"inflight.json", "operations.json"}
    assert listed - {"NAME.log"} == written | own


def test_every_command_is_in_its_table() -> None:
    """Each command of the program, and each of what `bundles` does."""
    table = README.partition("## Commands")[2].partition("All take")[0]
    usage = parser().format_help()
    commands = re.findall(r"^    (\w[\w-]*) ", usage, re.MULTILINE)
    assert {"run", "bundles", "report"} <= set(commands)
    for command in [*commands, "ls", "show", "verify", "bundles anonymise"]:
        assert command in table, command


def test_ci_runs_the_readme_command() -> None:
    """The checking machine runs the README's test command and swallows no failure."""
    command = "python3 bootstrap.py test"
    assert f"```sh\n{command}\n```" in README
    script = (ROOT / ".ci/run").read_text()
    assert script.rstrip().endswith(f"exec {command}")
    assert "|| true" not in script


def test_every_session_is_in_the_noxfile() -> None:
    """The test command names no session that nox does not know."""
    noxfile = (ROOT / "noxfile.py").read_text()
    assert all(f"def {session}(session" in noxfile for session in TEST_SESSIONS)
