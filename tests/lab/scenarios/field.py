#!/opt/aodasync/bin/python
# SPDX-License-Identifier: MIT
# lab: description=What people report from the field is reported as what it is
# lab: no-mount
# lab: timeout=3000
"""Cases of the field, one after another, each on mounts of its own.

A file named ``cases`` (--add) with names of cases, one a line, leaves out the others.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, "/lab")
from field_cases import CASES
from field_run import configuration, tried
from field_table import print_table
from product import OUT, Agent, check, lab

ONLY = Path(os.environ["LAB_FILES"], "cases")


def main() -> None:
    """One case after another."""
    lab("modprobe cifs; modprobe nf_tables || true")
    cases = CASES
    if ONLY.exists():
        names = ONLY.read_text().split("\n")
        cases = tuple(case for case in CASES if case.name in names)
    agent = Agent("field", configuration())
    agent.start()
    agent.wait("agent_ready", 120)
    lines = [tried(agent, case) for case in cases]
    check("the agent stops with status 0", agent.stop() == 0)
    print_table(lines)
    (OUT / "field.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
    for line in lines:
        check(f"{line.case}: reported as what it is", not line.wrong, "; ".join(line.wrong))


main()
