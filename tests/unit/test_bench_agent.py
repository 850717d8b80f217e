# SPDX-License-Identifier: MIT
"""The bench's agent attaches nothing: what stands in for the attachment must fit the product."""

from __future__ import annotations

import inspect

from aodasync import probes
from aodasync.host import instance_lock, state_file
from aodasync.probes import compiler_child
from tests.bench import unattached


def test_the_stand_in_takes_what_the_agent_hands_over() -> None:
    """Every argument of open_probe but the choice of methods, with the same defaults."""
    real = dict(inspect.signature(probes.open_probe).parameters)
    stand_in = dict(inspect.signature(unattached.open_unattached).parameters)
    del real["methods"], stand_in["arguments"]
    assert stand_in.keys() == real.keys()
    given = {name: p.default for name, p in stand_in.items() if p.default is not p.empty}
    assert given == {name: real[name].default for name in given}


def test_what_the_bench_replaces_is_there() -> None:
    """Names that the product no longer had would be replaced in vain."""
    for module, names in {
        state_file: ("CACHE_DIR", "STATE_DIR"),
        compiler_child: ("give_head_start",),
        probes: ("cifs_loaded", "open_probe"),
        instance_lock: ("RUN_DIR", "single_instance"),
    }.items():
        assert not [name for name in names if not hasattr(module, name)]
