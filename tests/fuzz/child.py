# SPDX-License-Identifier: MIT
"""One target under libFuzzer: ``python -m tests.fuzz.child NAME [libFuzzer's options] [FILE...]``.

A file as the last word is checked once: so a finding is made to happen again.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["aodasync"]):
    from tests.fuzz.targets import TARGETS


def main(argv: list[str]) -> None:
    """Fuzz until told to end; a finding ends the process with another code than 0."""
    target = TARGETS[argv[1]]
    atheris.Setup([argv[0], *argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
