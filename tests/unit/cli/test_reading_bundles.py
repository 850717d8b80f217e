# SPDX-License-Identifier: MIT
"""Reading a bundle from where it lies: renamed, unpacked, without a configuration, safely."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

import aodasync
from aodasync.bundle import anonymise
from aodasync.bundle.archive import read_manifest
from aodasync.cli import main as cli
from tests.fuzz.bundle_maker import BUNDLE, MANIFEST, bundle

_IN_FLIGHT = b'[{"age_ms": 5000, "command": "SMB2_READ", "comm": "cp"}]'
_OPERATIONS = b'[{"age_ms": 7000, "function": "cifs_open", "waits_for": "credits", "comm": "vim"}]'


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in an output directory; the working directory is another one."""
    batches = tmp_path / "aod" / "batches"
    batches.mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(anonymise, "_STATE_DIR", tmp_path / "state")
    path = batches / f"{BUNDLE}.tar.zst"
    path.write_bytes(bundle(inflight_json=_IN_FLIGHT, operations_json=_OPERATIONS))
    return path


def _unpack(path: Path, into: Path) -> Path:
    with (
        path.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=io.BytesIO(stream.read())) as tar,
    ):
        for entry in tar:  # Python 3.11.2, as Debian 12 has it, does not know extractall(filter)
            if (content := tar.extractfile(entry)) is not None:
                (into / entry.name).parent.mkdir(parents=True, exist_ok=True)
                (into / entry.name).write_bytes(content.read())
    return into / BUNDLE


def test_packed_renamed_and_unpacked_give_the_same_page(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests in flight, operations and logs are on each of the three pages."""
    renamed = tmp_path / "case123.tar.zst"
    renamed.write_bytes(stored.read_bytes())
    pages, shown = set(), set()
    for path in (stored, renamed, _unpack(stored, tmp_path)):
        assert cli.main(["report", str(path), "-o", "-"]) == 0
        pages.add(capsys.readouterr().out)
        assert cli.main(["bundles", "show", str(path)]) == 0
        shown.add("\n".join(sorted(capsys.readouterr().out.splitlines())))
    (page,) = pages
    assert len(shown) == 1
    for said in ("SMB2_READ", "cifs_open", "credits", "vim", "hello"):
        assert said in page


def test_a_bundle_of_version_1_still_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lacks episode, mounts and steps: the page, show and a replay do without."""
    recording = Path(aodasync.__file__).parent / "recordings" / "slow_server"
    manifest = json.loads((recording / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    for argv in (["report", "-o", "-"], ["bundles", "show"]):
        assert cli.main([*argv, str(recording)]) == 0
    assert str(manifest["bundle"]) in capsys.readouterr().out
    replay = [*("replay", str(recording)), "--config", str(recording / "config.yaml")]
    assert cli.main([*replay, "--output-dir", str(tmp_path)]) == 0
    (bundle,) = tmp_path.glob("batches/*.tar.zst")
    assert read_manifest(bundle)["schema_version"] == 2


def test_a_renamed_bundle_is_whole(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verify says under which name it was written; anonymise takes the name of the manifest."""
    renamed = stored.rename(tmp_path / "case123.tar.zst")
    assert cli.main(["bundles", "verify", str(renamed)]) == 0
    assert capsys.readouterr().out == f"case123.tar.zst: ok (written as {BUNDLE})\n"
    assert cli.main(["bundles", "anonymise", str(renamed), "-o", str(tmp_path)]) == 0
    assert f"{BUNDLE}-anonymised.tar.zst" in capsys.readouterr().out
    unpacked = _unpack(renamed, tmp_path)
    assert cli.main(["bundles", "verify", str(unpacked)]) == 0
    assert cli.main(["report", str(renamed)]) == 0
    assert (tmp_path / "here" / "case123.html").exists()


def test_a_bundle_that_somebody_decompressed_is_one(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is the directory in which tar unpacked it; of what was packed again it is said how."""
    tar = zstandard.ZstdDecompressor().decompressobj().decompress(stored.read_bytes())
    plain = tmp_path / "case.tar"
    plain.write_bytes(tar)
    (tmp_path / "around").mkdir()
    _unpack(stored, tmp_path / "around")
    for path in (plain, tmp_path / "around"):
        assert cli.main(["bundles", "verify", str(path)]) == 0
        assert cli.main(["bundles", "show", str(path)]) == 0
    plain.write_bytes(tar[:5000])
    assert cli.main(["bundles", "verify", str(plain)]) == 1
    plain.write_bytes(gzip.compress(tar))
    assert cli.main(["bundles", "show", str(plain)]) == 1
    assert "compressed with gzip, not with zstd (hint: gunzip it first)" in capsys.readouterr().err


def test_a_bundle_whose_files_lie_elsewhere_is_not_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory in an archive must be the one that the manifest names."""
    path = tmp_path / "x.tar.zst"
    path.write_bytes(bundle(name="other"))
    assert cli.main(["bundles", "verify", str(path)]) == 1
    assert f"manifest.json is in other/, not {BUNDLE}/" in capsys.readouterr().out


def test_a_page_is_its_owners_alone_and_replaces_nothing_unasked(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mode 0600 whatever the umask; an existing file, link or FIFO stays; --force replaces."""
    argv = ["report", str(stored)]
    page = tmp_path / "here" / f"{BUNDLE}.html"
    before = os.umask(0)
    try:
        assert cli.main(argv) == 0
        assert page.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    page.write_text("mine")
    assert cli.main(argv) == 1
    assert page.read_text() == "mine"
    assert "exists already (hint: --force replaces it" in capsys.readouterr().err
    assert cli.main([*argv, "--force"]) == 0
    assert page.read_text() != "mine"
    target = tmp_path / "target"
    target.write_text("theirs")
    page.unlink()
    page.symlink_to(target)
    assert cli.main(argv) == 1
    assert cli.main([*argv, "--force"]) == 0
    assert not page.is_symlink()
    assert target.read_text() == "theirs"
    page.unlink()
    os.mkfifo(page)
    assert cli.main(argv) == 1
    assert cli.main([*argv, "--force"]) == 1
    assert "not a regular file" in capsys.readouterr().err
    assert page.is_fifo()
    assert sorted(p.name for p in page.parent.iterdir()) == [page.name]


def test_a_page_goes_into_a_directory(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with cp; it is never replaced, not even by force."""
    directory = tmp_path / "pages"
    directory.mkdir()
    assert cli.main(["report", str(stored), "-o", str(directory), "--force"]) == 0
    assert [page.suffix for page in directory.iterdir()] == [".html"]
    assert capsys.readouterr().out == f"{next(directory.iterdir())}\n"


def test_what_is_no_regular_file_is_never_waited_for(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A FIFO as the bundle or inside a directory, a device, a link within: one line each."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    unpacked = _unpack(stored, tmp_path)
    (unpacked / "dmesg.log").unlink()
    os.mkfifo(unpacked / "dmesg.log")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "manifest.json").symlink_to("/etc/passwd")
    for path, said in (
        (fifo, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (unpacked, "dmesg.log: not a regular file"),
        (linked, "manifest.json: a symbolic link, which is not followed"),
    ):
        for command in (["report", "-o", "-"], ["bundles", "show"]):
            assert cli.main([*command, str(path)]) == 1
            out, err = capsys.readouterr()
            assert not out
            assert said in err
            assert err.count("\n") == 1


def test_any_other_directory_is_no_bundle_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever lies in it: a link or a FIFO in such a directory is not what is wrong."""
    (tmp_path / "a link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    for command in (["report"], ["replay"], ["why"], ["bundles", "show"], ["bundles", "events"]):
        assert cli.main([*command, str(tmp_path)]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert f"{tmp_path}: no manifest.json in it" in err
    assert cli.main(["bundles", "verify", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path.name}: no manifest.json in it\n"


def test_verify_names_the_directory_that_one_stands_in(
    stored: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its own name, however it is written."""
    unpacked = _unpack(stored, tmp_path)
    monkeypatch.chdir(unpacked)
    for written in (".", "./"):
        assert cli.main(["bundles", "verify", written]) == 0
        assert capsys.readouterr().out.startswith(f"{unpacked.name}: ok")


def test_open_is_refused_where_no_file_is_written(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page on standard output cannot be opened, which is said before any of it is written."""
    assert cli.main(["report", str(stored), "-o", "-", "--open"]) == 64
    out, err = capsys.readouterr()
    assert not out
    assert "--open needs a file" in err


def test_a_path_needs_no_configuration_and_a_listing_one_key(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a typo elsewhere, paths, names and ls work; with one in aod_output_dir, paths do."""
    typo = tmp_path / "config.yaml"
    typo.write_text(f"aod_output_dir: {stored.parents[1]}\nwatch_interval: 1\n")
    config = ["--config", str(typo)]
    for argv in (
        *(["bundles", "ls"], ["bundles", "show", BUNDLE], ["bundles", "verify"]),
        ["report", "-o", "-"],
    ):
        assert cli.main([*argv, *config]) == 0
    typo.write_text("aod_output_dir: [1]\n")
    for argv in (
        *(["bundles", "show", str(stored)], ["bundles", "verify", str(stored)]),
        ["bundles", "anonymise", str(stored), "-o", str(tmp_path)],
        ["report", str(stored), "-o", "-"],
    ):
        assert cli.main([*argv, *config]) == 0
    capsys.readouterr()
    assert cli.main(["bundles", "ls", *config]) == 78
    assert "aod_output_dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["ls", "X"],
        ["ls", "-o", "X"],
        ["show", "X", "-o", "Y"],
        ["verify", "X", "Y"],
        ["dance"],
    ],
)
def test_arguments_without_a_meaning_are_usage_errors(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that is given is ignored: exit 64, one line."""
    assert cli.main(["bundles", *argv]) == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_json_before_and_after_the_action(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`bundles --json`, `bundles --json ls` and `bundles ls --json` print the same."""
    output = ["--output-dir", str(stored.parents[1])]
    printed = set()
    for argv in (["--json"], ["--json", "ls"], ["ls", "--json"]):
        assert cli.main(["bundles", *argv, *output]) == 0
        printed.add(capsys.readouterr().out)
    (out,) = printed
    assert json.loads(out)[0]["server"] == MANIFEST["anomaly"]["server"]


def test_permission_errors_exit_77(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle or a configuration that the caller may not read; root may, so it is simulated."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    for argv in (
        *(["bundles", "show", str(stored)], ["bundles", "verify", str(stored)]),
        *(["report", str(stored)], ["replay", str(stored)], ["check-config"], ["bundles", "ls"]),
    ):
        assert cli.main(argv) == 77, argv
        err = capsys.readouterr().err
        assert "permission denied" in err
        assert err.count("\n") == 1


def test_a_directory_that_may_not_be_made_exits_77(
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That of a replay, and that of the map of an anonymised copy."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    new = str(tmp_path / "new")
    for argv in (
        ["replay", str(stored), "--output-dir", new],
        ["bundles", "anonymise", str(stored)],
    ):
        assert cli.main(argv) == 77, argv
        err = capsys.readouterr().err
        assert "permission denied (hint: " in err
        assert err.count("\n") == 1


def _aodasync(*argv: str, shell_end: str) -> subprocess.CompletedProcess[str]:
    command = f'"$0" -m aodasync "$@" {shell_end}'
    root = Path(cli.__file__).parents[2]
    return subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_line(
    stored: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full device as standard output: exit 1, one line, nothing from the interpreter.

    It says that it was standard output, at the first write as at the end.
    """
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    for argv in (
        *(("bundles", "show", str(stored)), ("--help",), ("help", "why"), ("-V",)),
        ("schema", "manifest"),  # more than a buffer holds
    ):
        done = _aodasync(*argv, shell_end=">/dev/full")
        assert done.returncode == 1
        assert done.stderr.startswith("aodasync: error: ")
        assert done.stderr.endswith("standard output: no space left on device\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_printed_page_is_in_the_encoding_that_it_names(
    stored: Path, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UTF-8, where the locale has fewer characters, too: it is for a browser."""
    page, printed = tmp_path / "page.html", tmp_path / "printed.html"
    assert cli.main(["report", str(stored), "-o", str(page)]) == 0
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = _aodasync("report", str(stored), "-o", "-", shell_end=f"> '{printed}'")
    assert (done.returncode, done.stderr) == (0, "")
    assert not page.read_bytes().isascii()
    assert printed.read_bytes() == page.read_bytes()


def test_closed_standard_streams_are_no_files(stored: Path, tmp_path: Path) -> None:
    """Without descriptors 0, 1 and 2 a page is whole: nothing that is printed gets into it."""
    page = tmp_path / "page.html"
    done = _aodasync("report", str(stored), "-o", str(page), shell_end="<&- >&- 2>&-")
    assert done.returncode == 0
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    "command", [["report", "-o", "{}/page.html"], ["bundles", "anonymise", "-o", "{}"]]
)
def test_a_place_that_may_not_be_written_is_not_permitted(
    command: list[str],
    stored: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 77, as for a bundle that may not be read, and one line with another place."""
    refused = tmp_path / "refused"
    refused.mkdir()
    opened = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path) == str(refused):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    argv = [word.format(refused) for word in command]
    assert cli.main([*argv, str(stored)]) == 77
    err = capsys.readouterr().err
    assert "refused" in err
    assert "permission denied (hint: " in err


@pytest.mark.parametrize(
    "command", [["bundles"], ["bundles", "show"], ["bundles", "verify"], ["report"]]
)
def test_a_missing_output_directory_says_who_makes_it(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a host where no agent ran yet the first command that is tried names what to do."""
    missing = tmp_path / "missing"
    assert cli.main([*command, "--output-dir", str(missing)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"aodasync: error: {missing}: no such file or directory (hint: ")
    assert "an agent makes it" in err


def test_the_state_that_a_map_makes_is_its_owners_alone(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory above the maps, too, where no agent made it before: root's or a user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    assert cli.main(["bundles", "anonymise", str(stored)]) == 0
    (map_file,) = tmp_path.glob("**/maps/*.json")
    for directory in (map_file.parent, map_file.parents[1]):
        assert directory.stat().st_mode & 0o777 == 0o700
