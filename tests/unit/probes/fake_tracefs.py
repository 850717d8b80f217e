# SPDX-License-Identifier: MIT
"""A tracefs that describes the client's tracepoints as 6.12 does."""

from __future__ import annotations

from pathlib import Path

COMMON = """name: {name}
ID: 1234
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
FIELDS = """\tfield:__u32 tid;\toffset:8;\tsize:4;\tsigned:0;
\tfield:__u64 sesid;\toffset:16;\tsize:8;\tsigned:0;
\tfield:__u16 cmd;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u64 mid;\toffset:32;\tsize:8;\tsigned:0;
"""
STATUS = """\tfield:__u32 status;\toffset:40;\tsize:4;\tsigned:0;
\tfield:int rc;\toffset:44;\tsize:4;\tsigned:1;
"""


def write_tracefs(directory: Path, **changes: str | None) -> Path:
    """A tracefs of 6.12's tracepoints; ``changes`` replace one's fields, None removes it."""
    fields: dict[str, str | None] = {
        "smb3_cmd_enter": FIELDS,
        "smb3_cmd_done": FIELDS,
        "smb3_cmd_err": FIELDS + STATUS,
        "smb3_reconnect": "",
        **changes,
    }
    for name, text in fields.items():
        if text is not None:
            event = directory / "events" / "cifs" / name
            event.mkdir(parents=True)
            (event / "format").write_text(COMMON.format(name=name) + text)
    return directory
