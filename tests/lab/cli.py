# SPDX-License-Identifier: MIT
"""The command line of ``python3 -m tests.lab``."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from .architecture import ARCHITECTURES
from .cache import Cache, default_cache_dir, locked
from .command import say
from .errors import EXIT_USAGE, LabError
from .hostpackages import RUN_TOOLS, ensure_tools
from .packages import files_for
from .releases import DEFAULT_RELEASE, RELEASES, Release, releases
from .report import summary
from .scenario import Scenario, find_scenarios, load
from .session import Result, run_scenario
from .testbed import get_testbed
from .venv import project_dependencies
from .wheel import build_wheel

PROJECT = Path(__file__).parents[2]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise LabError(message, hint="see --help", status=EXIT_USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python3 -m tests.lab",
        description="Run scenarios, or a script, in a virtual machine with a real SMB client "
        "and a real Samba.",
        epilog="Exit status: 0; 1 a check failed, or the script's own; 64 usage; 124 the time "
        "limit; 125 the lab itself failed.",
    )
    kernels = [*(release.name for release in RELEASES), "all"]
    parser.add_argument("--kernel", choices=kernels, default=DEFAULT_RELEASE)
    parser.add_argument("--arch", choices=tuple(ARCHITECTURES), default=next(iter(ARCHITECTURES)))
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="repeatable; default: all"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--script", type=Path, metavar="FILE", help="run this, no scenario")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where $LAB_OUT comes back to")
    parser.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder to put into the guest's $LAB_FILES; repeatable",
    )
    parser.add_argument("--timeout", type=int, metavar="SEC", help="for each machine (1800)")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="default: the checkout's")
    parser.add_argument("--no-wheel", action="store_true", help="run without aodasync")
    parser.add_argument(
        "--build", action="store_true", help="build or refresh the cached images and end"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the lab and return its exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return _main(_parser().parse_args(argv))
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def _main(options: argparse.Namespace) -> int:
    if options.list:
        for scenario in find_scenarios():
            print(f"{scenario.name:24} {scenario.description}")
        return 0
    architecture = ARCHITECTURES[options.arch]
    chosen = releases(options.kernel, architecture)
    scenarios = [] if options.build else _chosen_scenarios(options)
    ensure_tools({**RUN_TOOLS, **architecture.emulator})
    cache = Cache(default_cache_dir(), refresh=options.build)
    cache.root.mkdir(parents=True, exist_ok=True)
    results = _run_all(options, cache, chosen, scenarios)
    if options.build:
        cache.prune()
        return 0
    if options.script is None or any(result.checks for result in results):
        print(summary(results), flush=True)
    return next((result.status for result in results if result.status), 0)


def _chosen_scenarios(options: argparse.Namespace) -> list[Scenario]:
    if options.script is not None:
        return [load(options.script)]
    known = {scenario.name: scenario for scenario in find_scenarios()}
    for name in options.scenario:
        if name not in known:
            raise LabError(
                f"no scenario named {name}", hint=f"known: {', '.join(known)}", status=EXIT_USAGE
            )
    return [known[name] for name in options.scenario or known]


def _run_all(
    options: argparse.Namespace,
    cache: Cache,
    chosen: Sequence[Release],
    scenarios: Sequence[Scenario],
) -> list[Result]:
    dependencies = project_dependencies(PROJECT)
    wheel = _wheel(options, cache)
    results = []
    for release in chosen:
        testbed = get_testbed(
            cache, release, dependencies=dependencies, wheel=wheel, files=options.add
        )
        say(f"kernel {testbed.kernel.version}, {testbed.accelerator[1].split(',')[0]}")
        for scenario in scenarios:
            if release.name not in scenario.kernels:
                continue
            added = files_for(scenario, cache, release, testbed.userland, PROJECT)
            bed = replace(testbed, files=[*testbed.files, *added])
            out = options.out
            if out is not None and options.script is None:
                out = out / release.name / scenario.name
            elif out is not None and len(chosen) > 1:
                out = out / release.name
            with locked(_machine_lock(), waiting="another lab's machine runs: waiting for it"):
                say(f"running {scenario.name} on {testbed.kernel.version}")
                started = time.monotonic()
                results.append(run_scenario(bed, scenario, options.timeout, out))
                say(f"{results[-1].verdict} after {time.monotonic() - started:.0f} s")
    return results


def _wheel(options: argparse.Namespace, cache: Cache) -> Path | None:
    if options.no_wheel or options.build:
        return None
    if options.wheel is not None:
        if not options.wheel.is_file():
            raise LabError(f"no wheel at {options.wheel}", status=EXIT_USAGE)
        return Path(options.wheel)
    return build_wheel(cache, PROJECT)


def _machine_lock() -> Path:
    """Return the lock that lets one machine run at a time on this host, whoever starts it."""
    shared = Path("/run/lock")
    folder = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return folder / "aodasync-lab.lock"
