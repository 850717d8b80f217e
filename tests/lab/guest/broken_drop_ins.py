# SPDX-License-Identifier: MIT
"""Ten broken files for conf.d, and where each has its mistake.

``python3 broken_drop_ins.py NUMBER FILE`` writes one and prints ``FILE:LINE:COLUMN``.
"""

import sys
from pathlib import Path

BROKEN = {
    "a value of the wrong kind": (b"\nwatch_interval_sec: fast\n", "2:21"),
    "an unknown key": (b"\n\nwach_interval_sec: 1\n", "3:1"),
    "YAML that does not end": (b"\nguardian: [\n", "3:1"),
    "a list": (b"\n- watch_interval_sec\n", "2:1"),
    "a tab": (b"\nguardian:\n\tanomalies: {}\n", "3:1"),
    "a key twice": (b"\naudit: {enabled: true}\naudit: {enabled: false}\n", "3:1"),
    "a number below zero": (b"\nguardian: {anomalies: {hang: {age_ms: -1}}}\n", "2:39"),
    "an action without a command": (b"\nactions:\n  routes: {timeout_sec: 5}\n", "3:11"),
    "an unknown code": (
        b"\nguardian:\n  anomalies:\n    error:\n      track_codes: [ENOSUCH]\n",
        "5:21",
    ),
    "bytes that are not text": (b"\naudit: \xff\xfe\n", "2:8"),
}

if __name__ == "__main__":
    text, position = list(BROKEN.values())[int(sys.argv[1])]
    Path(sys.argv[2]).write_bytes(text)
    print(f"{sys.argv[2]}:{position}")
