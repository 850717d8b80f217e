# SPDX-License-Identifier: MIT
"""The table of the fault matrix: a line for each fault, and what is demanded of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from product import OUT, SERVER, check

DETECT_SEC = 2.0
MUST_BE_RIGHT = 11
SLOW = "slow drift"


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    fault: str
    detected: bool
    after_sec: float
    types: str
    server: str
    verdict: str
    expected: str
    right: bool


def print_and_check(lines: Sequence[Line]) -> None:
    """Print what was seen, and hold it against the bounds."""
    print(f"{'fault':27}{'seen':6}{'after':>9}  {'types':35}{'server':12}{'cause':9}expected")
    for line in lines:
        after = f"{line.after_sec:.2f} s" + ("*" if line.fault == SLOW else " ")
        print(
            f"{line.fault:27}{'yes' if line.detected else 'NO':6}{after:>9}  {line.types:35}"
            f"{line.server:12}{line.verdict:9}{line.expected}{'' if line.right else '  WRONG'}"
        )
    print("after: since the first symptom; of a hang, since a request was over its age")
    print("*: since the injection; drift is half a minute out of band, so it is exempt from 2 s")
    (OUT / "matrix.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
    for line in lines:
        check(f"{line.fault}: detected, as it should be", line.detected, line.types)
        in_time = line.fault == SLOW or line.after_sec <= DETECT_SEC
        check(f"{line.fault}: within {DETECT_SEC} s", in_time, f"{line.after_sec:.2f} s")
        check(f"{line.fault}: on the server", line.server == SERVER, line.server)
    right = sum(line.right for line in lines)
    enough = min(MUST_BE_RIGHT, len(lines))
    check(f"the cause is right for {enough} at least", right >= enough, f"{right} of {len(lines)}")
