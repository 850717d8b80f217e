# SPDX-License-Identifier: MIT
"""What the README shows works as shown."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from aodasync import config
from aodasync.actions import BUILTIN
from aodasync.cli.arguments import parser
from bootstrap import ROOT, TEST_SESSIONS
from tests.bench import overhead
from tests.bench.figures import Figure

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


def _made_by_the_bench() -> list[tuple[str, ...]]:
    """Cells of the rows of the table of the section "Overhead"."""
    block = README.partition(overhead.BEGIN)[2].partition(overhead.END)[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) ?\|$", block, re.MULTILINE)
    assert rows[0] == ("what", "measured", "at most")
    return rows[1:]


def test_the_table_of_overhead_is_what_the_bench_would_write() -> None:
    """Names, units and bounds are the bench's, in its order; each figure is a number.

    What is over its bound says so, and nothing else does.
    """
    rows = _made_by_the_bench()
    assert [(name, bound.removesuffix(": over")) for name, _, bound in rows] == [
        (name, bound) for name, _, bound in map(overhead.shown, overhead.ROWS)
    ]
    for (_, measured, bound), row in zip(rows, overhead.ROWS, strict=True):
        spread = r" \(.+ to .+\)" if row.spread else ""
        figure = re.fullmatch(rf"([\d.]+) {re.escape(row.unit)}{spread}", measured)
        assert figure, row
        over, most = bound.endswith(": over"), row.bound or math.inf
        assert (float(figure[1]) > most) <= over <= (float(figure[1]) >= most), row


def _figures() -> list[Figure]:
    return [Figure(row.name, 1.5, row.unit, row.bound, "1 to 2") for row in overhead.ROWS]


def test_the_bench_writes_its_table_over_the_one_before() -> None:
    """Nothing else changes, and writing it again changes nothing."""
    written = overhead.rewritten(README, _figures(), "Linux 6.12")
    before, _, after = README.partition(overhead.BEGIN)
    assert written.startswith(before)
    assert written.endswith(after.partition(overhead.END)[2])
    assert "\nOn Linux 6.12:\n" in written
    assert f"| {overhead.ROWS[0].name} | 1.5 ms | " in written
    assert overhead.rewritten(written, _figures(), "Linux 6.12") == written


def test_the_table_says_what_is_over_its_bound() -> None:
    """The README does not pass over what was not reached."""
    memory = overhead.Row("private dirty after three bundles", "MB", 36.0)
    figures = [replace(f, value=99.0) if f.name == memory.name else f for f in _figures()]
    written = overhead.rewritten(README, figures, "Linux 6.12")
    assert f"| {memory.name} | 99.0 MB | 36.0 MB: over |" in written


def test_a_figure_of_another_bound_is_not_published() -> None:
    """Nor one that was not measured."""
    wrong = [replace(figure, bound=0.5) for figure in _figures()]
    for figures in (wrong, wrong[1:], []):
        with pytest.raises(ValueError, match=r"was measured as|not measured"):
            overhead.rewritten(README, figures, "Linux 6.12")


def test_the_manual_page_tells_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have a bound; how others compare stays in the README."""
    monkeypatch.syspath_prepend(ROOT / "packaging")
    page = importlib.import_module("manuals").command()
    told = page.partition(".SH OVERHEAD\n")[2].partition(".SH FILES\n")[0]
    rows = [row for row in _made_by_the_bench() if row[2] and not row[2].endswith(" x")]
    assert len(rows) > 10
    for name, measured, bound in rows:
        assert f".TP\n{name}\n{measured}; at most {bound}\n".replace("-", r"\-") in told
