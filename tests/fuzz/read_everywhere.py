# SPDX-License-Identifier: MIT
"""Every command that reads a bundle, on one that anybody may have made."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from unittest import mock

from aodasync.bundle import anonymise
from aodasync.cli import main as cli

__all__ = ["COMMANDS", "read_everywhere"]

COMMANDS: Final = (
    *("ls", "show", "show --all", "show --json", "verify", "verify --json", "why"),
    *("events", "events --csv", "diff", "report", "report --all", "anonymise", "replay"),
)
"""What :func:`read_everywhere` runs."""

_MOST_PRINTED: Final = 12 << 20
_MOST_OF_A_LINE: Final = 8000
_MOST_PAGE_BYTES: Final = 16 << 20
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def read_everywhere(
    path: Path, output_dir: Path, work: Path, commands: Iterable[str] = COMMANDS
) -> dict[str, tuple[int, str]]:
    """Exit code and all output of the commands on the bundle ``path``; of report, the page.

    ``output_dir`` is where it is listed, ``work`` an empty directory.

    Raises:
        AssertionError: a command printed what steers a terminal, more than people read, more
            than one line on a failure, or an exit code of none of its failures.
    """
    config = Path(cli.__file__).parents[1] / "recordings" / "slow_server" / "config.yaml"
    argvs = {
        "ls": ["bundles", "ls", "--output-dir", str(output_dir)],
        "show": ["bundles", "show", str(path)],
        "show --all": ["bundles", "show", str(path), "--all"],
        "why": ["why", str(path)],
        # All of them is what they print otherwise, a line for each of up to a million.
        "events": ["bundles", "events", str(path), "--json", "--slower", "3600000"],
        "events --csv": ["bundles", "events", str(path), "--csv", "--slower", "3600000"],
        "diff": ["bundles", "diff", str(path), str(path)],
        "report --all": [
            *("report", "--all", "-o", str(work / "pages"), "--output-dir", str(output_dir)),
        ],
        "show --json": ["bundles", "show", str(path), "--json"],
        "verify": ["bundles", "verify", str(path)],
        "verify --json": ["bundles", "verify", str(path), "--json"],
        "report": ["report", str(path), "-o", str(work / "page.html")],
        "anonymise": ["bundles", "anonymise", str(path), "-o", str(work)],
        "replay": [
            *("replay", str(path), "--config", str(config)),
            *("--output-dir", str(work / "replayed")),
        ],
    }
    found = {}
    for name in commands:
        argv = argvs[name]
        code, out, err = _run(argv, work)
        said = f"{name}: {code}\n{out[:2000]}\n{err[:2000]}"
        assert code in (0, 1), said
        assert not _STEERING.search(out + err), said
        assert "defect" not in err, said
        assert err.count("\n") == (1 if code and not out else 0), said
        assert len(out) <= _MOST_PRINTED, f"{name} printed {len(out)} characters"
        assert "json" in name or max(map(len, out.split("\n"))) <= _MOST_OF_A_LINE, said
        found[name] = code, out + err
    page = work / "page.html"
    if page.exists():
        assert page.stat().st_size <= _MOST_PAGE_BYTES, f"a page of {page.stat().st_size} bytes"
        found["report"] = found["report"][0], page.read_text()
    return found


def _run(argv: list[str], work: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(anonymise, "_STATE_DIR", work / "state"),
    ):
        code = cli.main(argv)
    return code, out.getvalue(), err.getvalue()
