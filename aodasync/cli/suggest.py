# SPDX-License-Identifier: MIT
"""``aodasync suggest``: thresholds for ``latency`` from what the agent has learnt.

The agent keeps, of each server and command, the usual median of five seconds (``drift``).
A threshold is five times the median of slow moments on the slowest server: single requests
vary that much around their median while all is well. None is under 20 ms, which nobody feels.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from aodasync.detection.baseline import Baseline, Normal
from aodasync.errors import BundleError, ExitCode, NotPermittedError
from aodasync.evidence import history
from aodasync.evidence.history import PastEpisode
from aodasync.host import state_file
from aodasync.host.printable import printable
from aodasync.smb.commands import COMMANDS

__all__ = ["Suggestion", "render", "suggest", "suggestion"]

_FACTOR: Final = 5.0
_LEAST_MS: Final = 20.0
_EMERGENCY_MS: Final = 1000.0
_MOST_MS: Final = 5e7
_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
_FILE: Final = "learnt.json"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number in ms, and what it rests on."""

    ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The numbers of a ``latency`` section; ``past`` says what they would have meant."""

    default: Threshold
    commands: Mapping[str, Threshold]
    emergency: Threshold
    past: str


def suggest(directory: Path, *, since_ns: int, as_json: bool, out: TextIO) -> int:
    """Print a ``latency`` section for the configuration, with the reason for each number.

    Raises:
        NotPermittedError: the caller may not read what was learnt.
        BundleError: nothing was learnt so far, or it cannot be read.
    """
    try:
        normals = _learnt(state_file.load(directory, _FILE))
        past = history.read(directory)
    except PermissionError as error:
        what = "what was learnt may be read by root alone"
        raise NotPermittedError(what, hint="sudo aodasync suggest") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{directory / str(error.filename or '')}: {reason}") from error
    except (ValueError, TypeError) as error:
        raise BundleError(f"{directory}: {error}") from error
    if not normals:
        raise BundleError(
            "nothing is learnt yet",
            hint="it takes five minutes of requests, and the anomaly drift; see aodasync top",
        )
    found = suggestion(normals, [e for e in past if e.began_ns >= since_ns], since_ns=since_ns)
    out.write(json.dumps(_as_json(found), indent=2) + "\n" if as_json else render(found))
    return ExitCode.OK


def _learnt(saved: Mapping[str, Any] | None) -> list[Normal]:
    """The normals of every anomaly that learns."""
    normals = []
    for exported in (saved or {}).values():
        baseline = Baseline()
        baseline.restore(exported)
        normals += baseline.normals()
    return normals


def suggestion(
    normals: Sequence[Normal], past: Iterable[PastEpisode], *, since_ns: int = 0
) -> Suggestion:
    """Thresholds from at least one normal. Pure; ``past`` are episodes since ``since_ns``."""
    slowest: dict[str, Normal] = {}
    for normal in normals:
        if 0 <= normal.command < len(COMMANDS):
            name = COMMANDS[normal.command]
            slowest[name] = max(normal, slowest.get(name, normal), key=lambda n: n.high_ms)
    order = [name for name in COMMANDS if name in slowest]
    commands: dict[str, Threshold] = {name: _threshold(slowest[name]) for name in order}
    middle = sorted(threshold.ms for threshold in commands.values())[len(commands) // 2]
    most = max(threshold.ms for threshold in commands.values())
    return Suggestion(
        default=Threshold(middle, "for commands not learnt yet: the middle one of those below"),
        commands=commands,
        emergency=Threshold(
            max(_EMERGENCY_MS, _rounded_up(3 * most)),
            "as long as a person notices" if 3 * most <= _EMERGENCY_MS else "3 times the largest",
        ),
        past=_past(commands, past, since_ns),
    )


def _threshold(normal: Normal) -> Threshold:
    ms = _rounded_up(_FACTOR * normal.high_ms)
    rest = f"{_FACTOR:g} times that" if ms > _LEAST_MS else "under 20 ms nobody feels it"
    return Threshold(
        max(_LEAST_MS, ms),
        f"{normal.server}: {normal.median_ms:.3g} ms usual, {normal.high_ms:.3g} ms in slow moments"
        f" ({normal.learnt} samples of 5 s); {rest}",
    )


def _rounded_up(ms: float) -> float:
    """The next number that a person would write."""
    ms = min(ms, _MOST_MS)
    scale = 10.0 ** math.floor(math.log10(ms))
    return round(next(step for step in _STEPS if ms <= step * scale * (1 + 1e-9)) * scale, 6)


def _plain(threshold: Threshold) -> str:
    """Without an exponent, which YAML 1.1 takes for a text."""
    return f"{threshold.ms:.15g}"


def _past(commands: Mapping[str, Threshold], past: Iterable[PastEpisode], since_ns: int) -> str:
    latency = [e for e in past if e.anomaly == "latency"]
    silent = sum(e.worst_ms < _least(e.commands, commands) for e in latency)
    since = time.strftime(" since %Y-%m-%d %H:%M", time.localtime(since_ns / 1e9))
    return (
        f"of {len(latency)} latency episodes in the history{since if since_ns else ''}, {silent}"
        " had no request as slow as these thresholds"
    )


def _least(named: Iterable[str], commands: Mapping[str, Threshold]) -> float:
    return min((commands[name].ms for name in named if name in commands), default=0.0)


def render(found: Suggestion) -> str:
    """The section as YAML, good as a file of ``conf.d``."""
    lines = [
        "# Suggested by aodasync from what it has learnt of this host's servers.",
        f"# Looking back: {found.past}.",
        "guardian:",
        "  anomalies:",
        "    latency:",
        f"      default_threshold_ms: {_plain(found.default)}  # {found.default.reason}",
        f"      emergency_threshold_ms: {_plain(found.emergency)}  # {found.emergency.reason}",
        "      track_commands:",
    ]
    for name, threshold in found.commands.items():
        lines.append(f"        # {threshold.reason}")
        lines.append(f"        - {{command: {name}, threshold: {_plain(threshold)}}}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _as_json(found: Suggestion) -> dict[str, Any]:
    commands = [{"command": name, **asdict(each)} for name, each in found.commands.items()]
    return {
        "schema_version": 1,
        "default_threshold_ms": asdict(found.default),
        "emergency_threshold_ms": asdict(found.emergency),
        "track_commands": commands,
        "past": found.past,
    }
