# SPDX-License-Identifier: MIT
"""Names of bundles: ``aod_quick_<realtime_ns>_<anomaly>``, and of what they are made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ARCHIVE_SUFFIX",
    "MANIFEST_SUFFIX",
    "PARTIAL_SUFFIX",
    "PREFIX",
    "BundleName",
    "is_leftover",
]

ARCHIVE_SUFFIX: Final = ".tar.zst"
MANIFEST_SUFFIX: Final = ".json"
PARTIAL_SUFFIX: Final = ".partial"
PREFIX: Final = "aod_quick_"

_NAME: Final = re.compile(PREFIX + r"(0|[1-9][0-9]{0,19})_([A-Za-z0-9_-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class BundleName:
    """When the anomaly was decided upon (CLOCK_REALTIME), and which one it was."""

    realtime_ns: int
    anomaly: str

    @classmethod
    def of(cls, realtime_ns: int, anomaly: str) -> BundleName:
        """A name that is safe as a file's, whatever the configuration calls the anomaly."""
        return cls(realtime_ns, re.sub(r"[^A-Za-z0-9_-]", "-", anomaly)[:64] or "anomaly")

    @classmethod
    def parse(cls, name: str) -> BundleName | None:
        """The parts of a bundle's name, with or without ``.tar.zst``; None if it is not one."""
        match = _NAME.fullmatch(name.removesuffix(ARCHIVE_SUFFIX))
        return cls(int(match[1]), match[2]) if match else None

    def __str__(self) -> str:
        return f"{PREFIX}{self.realtime_ns}_{self.anomaly}"

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return f"{self}{ARCHIVE_SUFFIX}"

    @property
    def manifest(self) -> str:
        """The file name of the manifest beside the archive."""
        return f"{self}{MANIFEST_SUFFIX}"

    @property
    def directory(self) -> str:
        """The directory it is collected in."""
        return f"{self}{PARTIAL_SUFFIX}"


def is_leftover(name: str) -> bool:
    """Whether this is what an interrupted collection leaves: a directory or half a file."""
    whole = name.removesuffix(PARTIAL_SUFFIX)
    return whole != name and BundleName.parse(whole.removesuffix(MANIFEST_SUFFIX)) is not None
