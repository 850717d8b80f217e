# SPDX-License-Identifier: MIT
"""One finding of doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from aodasync.errors import AodasyncError, ConfigError

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``state`` is ok, warning (goes without) or failed (the agent cannot work).

    ``exit_code`` is the one with which ``aodasync run`` ends for it, 0 where it does not.
    """

    name: str
    state: str
    detail: str
    fix: str = ""
    exit_code: int = 0

    @classmethod
    def of(cls, name: str, error: AodasyncError) -> Self:
        """What ``aodasync run`` would end with."""
        what = error.what
        if isinstance(error, ConfigError):
            what = f"{error.summary}\n{what}"
        return cls(name, "failed", what, error.hint, int(error.exit_code))
