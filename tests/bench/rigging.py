# SPDX-License-Identifier: MIT
"""What all measurements share: a scratch directory, type information, byte code, a rig."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aodasync.probes.preparation import Prepared, prepare
from aodasync.probes.shared import RING_BYTES
from tests.bench.client_types import KERNEL, write_types
from tests.kernel.rig import Rig

__all__ = ["Bench", "open_bench"]


@dataclass(frozen=True, slots=True)
class Bench:
    """``types`` stands for /sys/kernel/btf; ``scratch`` is kept between agents."""

    scratch: Path
    types: Path
    prepared: Prepared

    @contextmanager
    def rig(self, *, file_names: bool = True) -> Iterator[Rig]:
        """Maps and programs, with a ring of the default size."""
        prepared = self.prepared
        if not file_names:
            prepared = asyncio.run(prepare(cache_dir=None, btf=self.types, file_names=False))
        rig = Rig(prepared, KERNEL, RING_BYTES)
        try:
            yield rig
        finally:
            rig.close()


@contextmanager
def open_bench() -> Iterator[Bench]:
    """Make the shared things; the directory goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="aodasync-bench-") as directory:
        scratch = Path(directory)
        types = scratch / "types"
        types.mkdir()
        write_types(types)
        prepared = asyncio.run(prepare(cache_dir=None, btf=types))
        yield Bench(scratch, types, prepared)
