# SPDX-License-Identifier: MIT
"""``aodasync report``: write the page of a bundle, or those of all and their index."""

from __future__ import annotations

import io
import os
import stat
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX
from aodasync.cli.write_file import refused, write_file
from aodasync.errors import BundleError, ExitCode, RecordingError
from aodasync.host import safe_files
from aodasync.host.printable import PrintableStream, printable
from aodasync.report import render
from aodasync.report.content import read_bundle
from aodasync.report.index import Entry, is_index, render_index

__all__ = ["report", "report_all"]

_ALL_IN: Final = Path("aodasync-report")
_INDEX: Final = "index.html"


def report(
    bundle: Path, target: Path | None, *, force: bool, out: TextIO, show: bool = False
) -> int:
    """Write the report of a bundle to ``target`` (``-``: to ``out``) and say where it is.

    Into ``target``, if that is a directory.

    The file is its owner's alone, as the bundle is. What is there already stays, unless
    ``force`` replaces it; a symbolic link is never followed. ``show`` it in a browser.

    Raises:
        NotPermittedError: the bundle may not be read, or the page not be written there.
        RecordingError: the bundle cannot be read.
        BundleError: the page cannot be written.
    """
    page = render(read_bundle(bundle))
    if target == Path("-"):
        _print(page, out)
        return ExitCode.OK
    name = _page_of(bundle)
    path = target / name if target is not None and target.is_dir() else target or Path(name)
    _write(path, page, replace=force)
    return _done(path, out, show=show)


def _print(page: str, out: TextIO) -> None:
    """In UTF-8, as the page says of itself, whatever the locale says."""
    raw = out.raw if isinstance(out, PrintableStream) else out
    if isinstance(raw, io.TextIOWrapper):
        raw.reconfigure(encoding="utf-8")
    out.write(page)


def report_all(
    bundles: Sequence[Path], directory: Path | None, *, force: bool, out: TextIO, show: bool = False
) -> int:
    """Write a page for each bundle into a directory, and ``index.html``, the newest first.

    A bundle does not change, so its page stays if it is there already. One that cannot be read
    is in the index with the reason. An earlier index is replaced; with ``force`` any other page
    of that name, too.

    Raises:
        NotPermittedError: a bundle may not be read, or a page not be written there.
        BundleError: a page cannot be written, or others could replace it.
    """
    directory = directory or _ALL_IN
    try:
        directory.mkdir(mode=safe_files.DIRECTORY_MODE, exist_ok=True)
        _check(directory, directory.lstat())
    except OSError as error:
        raise refused(directory, error, "-o DIR") from error
    entries = [_written(bundle, directory, force=force) for bundle in reversed(bundles)]
    path = directory / _INDEX
    _write(path, render_index(entries), replace=force or _is_index(path))
    return _done(path, out, show=show)


def _check(directory: Path, status: os.stat_result) -> None:
    """Somebody may have put it where root would write its pages."""
    if not stat.S_ISDIR(status.st_mode):
        what = "is a symbolic link" if stat.S_ISLNK(status.st_mode) else "is no directory"
        raise BundleError(f"{directory}: {what}", hint="-o DIR")
    others = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    if others or status.st_uid not in (0, os.geteuid()):
        raise BundleError(f"{directory}: others could replace the pages", hint="-o DIR")


def _is_index(path: Path) -> bool:
    try:
        with os.fdopen(safe_files.open_regular(str(path)), "rb") as file:
            return is_index(file.read(1024))
    except (OSError, safe_files.NotRegularError):
        return False


def _written(bundle: Path, directory: Path, *, force: bool) -> Entry:
    """The index's entry of a bundle whose page is there now."""
    name, page = bundle.name.removesuffix(ARCHIVE_SUFFIX), _page_of(bundle)
    try:
        content = read_bundle(bundle)
    except RecordingError as error:
        return Entry(name, page, error=error.what)
    if force or not (directory / page).exists():
        _write(directory / page, render(content), replace=force)
    return Entry(name, page, content.manifest)


def _page_of(bundle: Path) -> str:
    return f"{bundle.resolve().name.removesuffix(ARCHIVE_SUFFIX) or 'bundle'}.html"


def _write(path: Path, page: str, *, replace: bool) -> None:
    hint = "name another file with -o, or - for standard output"
    if_exists = f"--force replaces it; or {hint}"
    write_file(path, page.encode("utf-8"), replace=replace, hint=hint, if_exists=if_exists)


def _done(path: Path, out: TextIO, *, show: bool) -> int:
    out.write(f"{printable(str(path))}\n")
    if show and not webbrowser.open(path.resolve().as_uri()):
        raise BundleError("no browser could be started", hint=f"open {path} yourself")
    return ExitCode.OK
