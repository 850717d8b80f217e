# SPDX-License-Identifier: MIT
"""An output directory that somebody prepared: refused in one line, or survived; nothing leaves it.

Through the command line, as root's agent and a user's replay go the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import aodasync
from aodasync.bundle.archive import verify
from aodasync.cli import main as cli

_RECORDING: Final = Path(aodasync.__file__).parent / "recordings" / "slow_server"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with a file that links will lead to."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "file").write_text("mine")
    return directory


def _replay(output: Path) -> int:
    return cli.main(["replay", str(_RECORDING), "--output-dir", str(output), "--speed", "max"])


def _untouched(outside: Path) -> bool:
    names = [path.name for path in outside.iterdir()]
    return names == ["file"] and (outside / "file").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_directory_that_others_can_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    """One line with the fix, exit 1, and nothing is made in it."""
    output = tmp_path / "aod"
    output.mkdir()
    output.chmod(mode)
    assert _replay(output) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err == (
        f"aodasync: error: output directory: others can write {output}"
        f" (hint: chmod go-w {output})\n"
    )
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("planted", ["aod", "aod/batches"])
def test_a_planted_link_is_refused(
    tmp_path: Path, outside: Path, capsys: pytest.CaptureFixture[str], planted: str
) -> None:
    """One line that names the link, exit 1, and nothing behind it is touched."""
    link = tmp_path / planted
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    assert _replay(tmp_path / "aod") == 1
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert f"{link}: is a symbolic link" in err
    assert _untouched(outside)


def test_links_planted_among_the_bundles_lead_nowhere(tmp_path: Path, outside: Path) -> None:
    """Links of leftovers' and bundles' names: the run is as ever, what they lead to is not seen."""
    batches = tmp_path / "aod" / "batches"
    batches.mkdir(parents=True)
    for name, target in {
        "aod_quick_1_latency.partial": outside,
        "aod_quick_2_latency.tar.zst.partial": outside / "file",
        "aod_quick_3_latency.tar.zst": outside / "file",
        "aod_quick_4_latency.json": outside / "file",
        "aod_quick_5_latency.json.partial": outside / "file",
    }.items():
        (batches / name).symlink_to(target)
    assert _replay(tmp_path / "aod") == 0
    assert _untouched(outside)
    found = [path for path in batches.glob("*.tar.zst") if not path.is_symlink()]
    assert found
    assert all(verify(path) == () for path in found)
    manifests = [path.with_name(path.name.removesuffix(".tar.zst") + ".json") for path in found]
    assert sorted(p for p in batches.iterdir() if not p.is_symlink()) == sorted(found + manifests)
    assert [path.name for path in batches.iterdir() if path.is_symlink()] == [
        "aod_quick_3_latency.tar.zst"
    ]
