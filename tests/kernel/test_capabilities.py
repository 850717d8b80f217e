# SPDX-License-Identifier: MIT
"""What root gives up is given up for good, and children have what they were lent alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from aodasync.host.capabilities import IN_EFFECT, KEPT, Capability, mask
from aodasync.process import launch
from aodasync.process.launch import with_launcher

_PROGRAM = """
import json, os, subprocess, sys, threading
from aodasync.host.capabilities import Capability, as_group, give_up, raised
from aodasync.process.launch import with_launcher

def found(text=None):
    text = text or open("/proc/thread-self/status").read()
    rows = (line.split() for line in text.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
    return {name.rstrip(":"): int(value, 16) for name, value in rows}

def child(argv):
    return found(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

give_up()
looked = {"agent": found()}
with raised(Capability.SYS_ADMIN):
    looked["raised"] = found()
looked["again"] = found()
with as_group(4242):
    os.chown(sys.argv[1], -1, 4242)
try:
    os.chown(sys.argv[1], -1, 4243)
except PermissionError:
    looked["afterwards"] = {"gid": os.stat(sys.argv[1]).st_gid}
thread = threading.Thread(target=lambda: looked.update(thread=found()))
thread.start()
thread.join()
cat = ("cat", "/proc/self/status")
looked["plain"] = child(cat)
looked["none"] = child(with_launcher(cat))
looked["syslog"] = child(with_launcher(cat, (Capability.SYSLOG,)))
looked["all"] = child(with_launcher(cat, None))
print(json.dumps(looked))
"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """The capabilities of an agent, of its threads and of its children."""
    given = tmp_path_factory.mktemp("capabilities") / "given"
    given.touch()
    argv = [sys.executable, "-c", _PROGRAM, str(given)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    sets: dict[str, dict[str, int]] = json.loads(done.stdout)
    return sets


def test_what_is_not_kept_is_gone_for_good(looked: dict[str, dict[str, int]]) -> None:
    """Of the bounding set and the permitted one; an exec brings nothing back."""
    agent = looked["agent"]
    assert agent["CapPrm"] == agent["CapBnd"] == mask(KEPT)
    assert agent["CapEff"] == looked["thread"]["CapEff"] == mask(IN_EFFECT)
    assert (agent["CapAmb"], agent["CapInh"], agent["NoNewPrivs"]) == (0, 0, 1)
    assert looked["plain"]["CapEff"] == mask(KEPT)


def test_what_attaching_needs_is_in_effect_meanwhile(looked: dict[str, dict[str, int]]) -> None:
    """And not a moment longer."""
    assert looked["raised"]["CapEff"] == mask({*IN_EFFECT, Capability.SYS_ADMIN})
    assert looked["again"] == looked["agent"]


def test_a_file_is_given_to_a_group_and_no_further(looked: dict[str, dict[str, int]]) -> None:
    """Without CHOWN: for a moment it counts as one of the group."""
    assert looked["afterwards"] == {"gid": 4242}


@pytest.mark.parametrize(
    ("child", "capabilities"),
    [("none", ()), ("syslog", (Capability.SYSLOG,)), ("all", KEPT)],
)
def test_a_child_has_what_it_was_lent(
    looked: dict[str, dict[str, int]], child: str, capabilities: Collection[Capability]
) -> None:
    """In each of its sets, and it can gain nothing."""
    sets = looked[child]
    assert sets["CapEff"] == sets["CapPrm"] == sets["CapBnd"] == mask(capabilities)
    assert sets["NoNewPrivs"] == 1


def test_without_setpriv_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """This interpreter drops them as well."""
    monkeypatch.setattr(launch, "_setpriv", lambda: ("", False))
    argv = with_launcher(("cat", "/proc/self/status"), (Capability.SYSLOG,))
    assert Path(argv[0]).name.startswith("python")
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    rows = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
    assert {int(rows[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {
        mask([Capability.SYSLOG])
    }


def test_the_host_is_examined_with_what_attaching_needs() -> None:
    """An agent that waits for the client tries what it will load; it has given up the rest."""
    program = """
import asyncio
from aodasync.host.capabilities import give_up
from aodasync.probes.requirements import require_host
give_up()
asyncio.run(require_host())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
