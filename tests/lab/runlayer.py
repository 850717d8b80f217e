# SPDX-License-Identifier: MIT
"""The topmost layer, made for each run: the script, the guest's own files, the wheel."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from .command import make_squashfs
from .kernel import GUEST
from .scenario import Scenario
from .venv import PREFIX
from .wheel import lay_out


def build_run_layer(
    scratch: Path,
    scenario: Scenario,
    *,
    release: str,
    venv: Path,
    wheel: Path | None,
    files: Sequence[Path] = (),
) -> Path:
    """Build the layer of one run in ``scratch`` and return its image."""
    layer = scratch / "layer"
    lab = layer / "lab"
    shutil.copytree(GUEST, lab)
    (lab / "bin").mkdir()
    (lab / "lab").rename(lab / "bin/lab")
    shutil.copy(scenario.path, lab / "script")
    (lab / "script").chmod(0o755)
    (lab / "files").mkdir()
    for path in files:
        target = lab / "files" / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    variables = {
        "LAB_FILES": "/lab/files",
        "LAB_RELEASE": release,
        "LAB_SCENARIO": scenario.name,
    }
    with (lab / "environment").open("a", encoding="utf-8") as environment:
        for name, value in variables.items():
            environment.write(f"export {name}={shlex.quote(value)}\n")
        environment.write(f"want_mount={int(scenario.mount)}\n")
    if wheel is not None:
        packages = (venv / "site-packages").read_text(encoding="utf-8")
        lay_out(wheel, layer, PREFIX, packages)
    image = scratch / "run.squashfs"
    make_squashfs(layer, image)
    return image
