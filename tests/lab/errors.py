# SPDX-License-Identifier: MIT
"""The lab's own failure: what went wrong, and the fix."""

EXIT_USAGE = 64
EXIT_TIMEOUT = 124
EXIT_LAB = 125


class LabError(Exception):
    """The lab itself could not do its work; the tests have not been judged."""

    def __init__(self, what: str, *, hint: str | None = None, status: int = EXIT_LAB) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.status = status

    def __str__(self) -> str:
        """One line: the failure, and the fix where one is known."""
        return self.what if self.hint is None else f"{self.what} (hint: {self.hint})"
