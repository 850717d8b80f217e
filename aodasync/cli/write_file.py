# SPDX-License-Identifier: MIT
"""A file that a user named as the output of a command."""

from __future__ import annotations

from pathlib import Path

from aodasync.errors import BundleError, NotPermittedError
from aodasync.host import safe_files

__all__ = ["refused", "write_file"]


def write_file(
    path: Path,
    data: bytes,
    *,
    replace: bool = False,
    hint: str = "name another file",
    if_exists: str = "",
) -> None:
    """Write a new file, 0600, or with ``replace`` one that is there.

    Raises:
        BundleError: it exists (then ``if_exists`` is the hint), or cannot be written.
        NotPermittedError: the caller may not write it.
    """
    try:
        safe_files.write_new(path, data, replace=replace)
    except FileExistsError:
        raise BundleError(f"{path}: exists already", hint=if_exists or hint) from None
    except safe_files.NotRegularError as error:
        raise BundleError(str(error), hint=hint) from None
    except OSError as error:
        raise refused(path, error, hint) from error


def refused(path: Path, error: OSError, hint: str) -> BundleError | NotPermittedError:
    """What the kernel says against a file, as an error of ours."""
    kind = NotPermittedError if isinstance(error, PermissionError) else BundleError
    return kind(f"{path}: {str(error.strerror).lower()}", hint=hint)
