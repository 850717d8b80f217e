# SPDX-License-Identifier: MIT
"""A program that submits records as fast as the kernel runs it, through our submit path."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from aodasync.probes import compiler
from aodasync.probes.bpf import ProgramType, load_program
from aodasync.probes.preparation import bpf_sources, interpreters
from aodasync.probes.program_loader import patched
from aodasync.probes.shared import MapNumber, definitions
from tests.kernel.rig import run_repeatedly

# Message ids count what is offered, records and losses together.
_TEXT = """
#include "smb_ring.h"

int flood(void *ctx)
{
	u32 index = STATE_TRACKED_SINCE_NS;
	u64 *offered = bpf_map_lookup_elem_(MAP(MAP_STATE), &index);
	struct smb_event *event;
	u64 number;

	if (!offered)
		return 0;
	number = __sync_fetch_and_add(offered, 1);
	event = reserve();
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->message_id = number;
	submit(event, bpf_ktime_get_ns(), URGENT);
	return 1;
}
"""

_RUNNER = """
import base64, json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from compiler.compile import compile_programs
out = os.dup(1)
os.dup2(2, 1)
request = json.load(sys.stdin)
code = compile_programs(
    request["text"], Path(request["include"]), request["definitions"], request["programs"]
)
os.write(out, json.dumps({n: base64.b64encode(c).decode() for n, c in code.items()}).encode())
os._exit(0)
"""


def compile_text(text: str, numbers: Mapping[str, int], *programs: str) -> dict[str, bytes]:
    """Byte code of a test's own C text, made as the child makes ours."""
    request = {
        "text": text,
        "include": str(bpf_sources()),
        "definitions": {**definitions(), **numbers},
        "programs": programs,
    }
    directory = str(Path(str(compiler.__file__)).parents[1])
    done = subprocess.run(
        [interpreters()[0], "-I", "-c", _RUNNER, directory],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: base64.b64decode(code) for name, code in json.loads(done.stdout).items()}


def compile_flood(*, urgent: bool) -> bytes:
    """Byte code of the flood."""
    return compile_text(_TEXT, {"URGENT": int(urgent)}, "flood")["flood"]


class Flood:
    """The flood over given maps."""

    def __init__(self, code: bytes, maps: Mapping[MapNumber, int]) -> None:
        self._fd = load_program(ProgramType.SOCKET_FILTER, patched(code, maps), "flood")

    def run(self, times: int) -> int:
        """Offer so many records; returns ns per record."""
        return run_repeatedly(self._fd, times)

    def close(self) -> None:
        """Unload."""
        os.close(self._fd)
