# SPDX-License-Identifier: MIT
"""Counting the guest's verdicts: ``ok - WHAT`` and ``not ok - WHAT`` lines in its output."""

from dataclasses import dataclass, field

_FAILED = b"not ok - "


@dataclass(slots=True)
class Tally:
    """The checks seen so far in a stream of output that arrives in arbitrary pieces."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    _rest: bytes = b""

    @property
    def failed(self) -> int:
        """The number of failed checks."""
        return len(self.failures)

    def feed(self, data: bytes) -> None:
        """Take the next piece of output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"ok - "):
                self.passed += 1
            elif line.startswith(_FAILED):
                what = line.removeprefix(_FAILED).decode(errors="replace")
                self.failures.append(what.strip())
