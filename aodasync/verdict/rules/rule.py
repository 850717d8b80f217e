# SPDX-License-Identifier: MIT
"""What a rule is, and a doubt; and predicates that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aodasync.verdict.figures import Figures

__all__ = [
    "CPU_SHORT",
    "FEW_SEGMENTS",
    "HALF",
    "SECOND_MS",
    "SILENT_MS",
    "UNHEARD_MS",
    "Condition",
    "Doubt",
    "Rule",
    "RuleTable",
    "is_deaf",
    "lossless",
    "short_of_cpu",
    "short_of_memory",
]

Condition: TypeAlias = Callable[[Figures], bool]

# One segment that got lost, or two in a row; after that nothing gets through.
_DEAF: Final = 2
UNHEARD_MS: Final = 1900.0  # two samples
SILENT_MS: Final = 2000
SECOND_MS: Final = 900.0  # one sample
FEW_SEGMENTS: Final = 3
CPU_SHORT: Final = 0.25
HALF: Final = 0.5
_MEMORY_SHORT: Final = 0.25
_MEMORY_RISEN: Final = 0.15


@dataclass(frozen=True, slots=True)
class Rule:
    """When it holds, and what it says.

    ``cause`` is server, network, client, credentials or unknown, ``confidence`` high, medium
    or low. ``sentence`` and ``refuted_by`` are formats over the figures; ``refuted_by`` names
    a command or a file that would show the verdict to be wrong.
    """

    name: str
    cause: str
    confidence: str
    sentence: str
    refuted_by: str
    holds: Condition


@dataclass(frozen=True, slots=True)
class Doubt:
    """When it holds, a verdict by one of ``rules`` is one step less certain, and says why."""

    rules: frozenset[str]
    sentence: str
    holds: Condition


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules in the order in which they are asked, each written above its condition."""

    rules: list[Rule] = field(default_factory=list)

    def rule(
        self, name: str, *, cause: str, confidence: str, sentence: str, refuted_by: str
    ) -> Callable[[Condition], Condition]:
        """Append a rule; the function below is its condition."""

        def append(holds: Condition) -> Condition:
            self.rules.append(Rule(name, cause, confidence, sentence, refuted_by, holds))
            return holds

        return append


def is_deaf(f: Figures) -> bool:
    """Whether TCP repeats itself, or waits, and no acknowledgement comes."""
    return f.tcp is not None and (f.tcp.backoff >= _DEAF or f.tcp.unheard_ms >= UNHEARD_MS)


def lossless(f: Figures) -> bool:
    """Whether TCP is known, and lost no more than usual."""
    return f.tcp is not None and f.tcp.lost == 0 and not is_deaf(f)


def short_of_cpu(f: Figures) -> bool:
    """Whether tasks wait for a CPU, clearly more than before."""
    return f.cpu.share is not None and f.cpu.share >= HALF and f.cpu.risen >= CPU_SHORT


def short_of_memory(f: Figures) -> bool:
    """Whether tasks wait for memory (reclaim, swap), clearly more than before."""
    share = f.memory.share
    return share is not None and share >= _MEMORY_SHORT and f.memory.risen >= _MEMORY_RISEN
