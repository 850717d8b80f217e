# SPDX-License-Identifier: MIT
"""``samples.json``: TCP's figures and the host's pressure before and during an anomaly.

A JSON list with one sample a line, oldest first. With it a bundle can be judged again: a
replay takes its samples for those of the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from aodasync.evidence.model import Sample
from aodasync.host.tcp_sockets import TcpSocket
from aodasync.host.untrusted_json import parse_json

__all__ = ["MAX_SAMPLES_BYTES", "SAMPLES", "decode", "encode"]

SAMPLES: Final = "samples.json"
MAX_SAMPLES_BYTES: Final = 4 << 20
_ENCODER: Final = json.JSONEncoder(allow_nan=False)
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
}


def encode(samples: Sequence[Sample]) -> bytes:
    """The file's content: the newest samples that fit into ``MAX_SAMPLES_BYTES``."""
    lines: list[str] = []
    size_bytes = 0
    for sample in reversed(samples):
        line = _ENCODER.encode(asdict(sample))
        size_bytes += len(line) + 2
        if size_bytes > MAX_SAMPLES_BYTES - 16:
            break
        lines.append(line)
    return ("[\n" + ",\n".join(reversed(lines)) + "\n]\n").encode("ascii")


def decode(data: bytes) -> tuple[Sample, ...]:
    """The samples that are well-formed, oldest first.

    Raises:
        ValueError: it is not JSON.
    """
    entries = parse_json(data)
    found = (_sample(entry) for entry in (entries if isinstance(entries, list) else []))
    whole = (sample for sample in found if sample is not None)
    return tuple(sorted(whole, key=lambda sample: sample.monotonic_ns))


def _sample(entry: Any) -> Sample | None:
    try:
        stalled_us = {str(name): int(us) for name, us in entry["stalled_us"].items()}
        sockets = tuple(_socket(each) for each in entry["sockets"])
        return Sample(int(entry["monotonic_ns"]), sockets, stalled_us, str(entry["error"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _socket(entry: Mapping[str, Any]) -> TcpSocket:
    """A figure that the agent which wrote it did not take yet has its default."""
    values = {field.name: entry[field.name] for field in fields(TcpSocket) if field.name in entry}
    for field in fields(TcpSocket):
        if not isinstance(values.get(field.name, field.default), _KINDS[str(field.type)]):
            raise TypeError(field.name)
    return TcpSocket(**values)
