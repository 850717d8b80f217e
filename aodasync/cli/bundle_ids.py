# SPDX-License-Identifier: MIT
"""Which bundle is meant: a path, a name, the beginning of one, or ``latest``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aodasync.bundle.archive import list_bundles
from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX, PREFIX
from aodasync.errors import AodasyncError, BundleError, NotPermittedError, UsageError

__all__ = ["LATEST", "find_bundle", "stored_paths"]

LATEST: Final = "latest"
_MOST_NAMED: Final = 5


def find_bundle(output_dir: Callable[[], Path], named: str | None) -> Path:
    """The bundle that is meant; None and ``latest`` are the newest one.

    What is there under that path is it, whatever it is called. Otherwise it is the bundle of
    the output directory whose name, or the digits in it, begins so. ``output_dir`` is asked
    for where it is needed alone: a path needs no configuration.

    Raises:
        BundleError: there is none.
        UsageError: several bundles begin so.
        NotPermittedError: the caller may not look.
    """
    if named is None or (named == LATEST and not os.path.lexists(named)):
        stored = stored_paths(directory := output_dir())
        if not stored:
            raise BundleError(f"{directory}: no bundle in it", hint="aodasync snapshot makes one")
        return stored[-1]
    if not named:
        raise UsageError("expected a path or a name, found nothing", hint="aodasync bundles ls")
    if os.path.lexists(named) or os.sep in named or named == "-":
        return Path(named)
    try:
        stored = stored_paths(output_dir())
    except NotPermittedError:
        raise
    except AodasyncError:
        return Path(named)  # which is not there: that is what the user hears of
    if found := _begins_with(named, stored):
        return found
    raise BundleError(
        f"{named}: no such file, and no bundle in {output_dir()} begins so",
        hint="aodasync bundles ls",
    )


def _begins_with(named: str, stored: list[Path]) -> Path | None:
    begin = named.removesuffix(ARCHIVE_SUFFIX)
    names = {path: path.name.removesuffix(ARCHIVE_SUFFIX) for path in stored}
    found = [p for p, n in names.items() if n == begin] or [
        path
        for path, name in names.items()
        if name.startswith(begin) or name.removeprefix(PREFIX).startswith(begin)
    ]
    if len(found) > 1:
        some = ", ".join(names[path] for path in found[-_MOST_NAMED:])
        raise UsageError(f"{len(found)} bundles begin with {named!r:.80}", hint=f"one of {some}")
    return found[0] if found else None


def stored_paths(output_dir: Path) -> list[Path]:
    """The bundles of an output directory, oldest first."""
    return [bundle.path for bundle in list_bundles(output_dir)]
