# SPDX-License-Identifier: MIT
"""Scenarios: scripts whose header says what they show and what they need.

A header is comment lines at the top of a bash or Python script::

    # lab: description=The agent notices a slow network
    # lab: kernels=6.12 newest
    # lab: no-mount
    # lab: timeout=1800
    # lab: packages=prometheus
    # lab: product
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import EXIT_USAGE, LabError
from .releases import RELEASES

FOLDER = Path(__file__).with_name("scenarios")
DEFAULT_TIMEOUT_S = 1800
_ALL_KERNELS = tuple(release.name for release in RELEASES)
_PREFIX = "# lab:"
_KEYS = "description=, kernels=, no-mount, packages=, product, systemd, timeout="


@dataclass(frozen=True, slots=True)
class Scenario:
    """A script to run in a fresh guest; ``timeout_s`` is wall-clock seconds, boot included.

    ``packages`` are Debian packages that it installs, ``product`` says that it installs ours.
    """

    name: str
    path: Path
    description: str = ""
    kernels: tuple[str, ...] = _ALL_KERNELS
    mount: bool = True
    systemd: bool = False
    timeout_s: int = DEFAULT_TIMEOUT_S
    packages: tuple[str, ...] = ()
    product: bool = False


def load(path: Path) -> Scenario:
    """Read a script's header."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read {path}: {error}", status=EXIT_USAGE) from error
    header = [line.removeprefix(_PREFIX).strip() for line in lines if line.startswith(_PREFIX)]
    return _parse(path, header)


def _parse(path: Path, header: Iterable[str]) -> Scenario:
    found: dict[str, Any] = {}
    for line in header:
        key, _, value = line.partition("=")
        match key.strip():
            case "description":
                found["description"] = value.strip()
            case "kernels" if set(value.split()) <= set(_ALL_KERNELS):
                found["kernels"] = tuple(value.split())
            case "no-mount":
                found["mount"] = False
            case "systemd":
                found["systemd"] = True
            case "timeout" if value.strip().isdigit():
                found["timeout_s"] = int(value)
            case "packages":
                found["packages"] = tuple(value.split())
            case "product":
                found["product"] = True
            case _:
                raise LabError(
                    f"{path}: unknown header line '{_PREFIX} {line}'",
                    hint=f"known: {_KEYS}",
                    status=EXIT_USAGE,
                )
    return Scenario(path.stem, path, **found)


def find_scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """Return every scenario of the folder, by name."""
    paths = (path for path in folder.iterdir() if path.suffix in {".sh", ".py"})
    return [load(path) for path in sorted(paths) if not path.name.startswith("_")]
