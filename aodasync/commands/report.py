# SPDX-License-Identifier: MIT
"""``aodasync report``: write the page."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from aodasync.bundle.names import ARCHIVE_SUFFIX
from aodasync.errors import BundleError, ExitCode
from aodasync.report import render
from aodasync.report.content import read_bundle

__all__ = ["report"]


def report(bundle: Path, target: Path | None, out: TextIO) -> int:
    """Write the report of a bundle to ``target`` (``-``: to ``out``) and say where it is.

    Raises:
        RecordingError: the bundle cannot be read.
        BundleError: the page cannot be written.
    """
    page = render(read_bundle(bundle))
    if target == Path("-"):
        out.write(page)
        return ExitCode.OK
    path = target or Path(f"{bundle.name.removesuffix(ARCHIVE_SUFFIX)}.html")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise BundleError(f"{path}: {reason}", hint="name another file with -o") from error
    out.write(f"{path}\n")
    return ExitCode.OK
