# SPDX-License-Identifier: MIT
"""The slowest requests, one bar each: issued when, what it waited for, ended when. SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from aodasync.bundle.files_table import NamesByRequest, file_of
from aodasync.detection.long_waits import may_wait
from aodasync.events import REQUEST, EventArray, pick
from aodasync.report.clock import duration
from aodasync.report.html import text
from aodasync.report.summary import latency_ms
from aodasync.smb.commands import command_name

__all__ = ["KEYS", "slowest", "waterfall"]

KEYS: Final = (
    ("send", "until it was sent"),
    ("wire", "until the response came"),
    ("client", "until the caller took it"),
    ("unanswered", "no response"),
)
"""Classes of the phases, and what they are."""

_MOST: Final = 50
_WIDTH: Final = 1000
_LABELS: Final = 330
_ROW: Final = 17
_MOST_OF_NAME: Final = 16
_TOP: Final = 6
_BOTTOM: Final = 26


@dataclass(frozen=True, slots=True)
class _Scale:
    first_ns: int
    last_ns: int

    def x(self, at_ns: int) -> float:
        share = (at_ns - self.first_ns) / max(1, self.last_ns - self.first_ns)
        return _LABELS + min(max(share, 0.0), 1.0) * (_WIDTH - _LABELS - 70)


def slowest(rows: EventArray, began_ns: int) -> EventArray:
    """The 50 slowest requests since then, in the order of their issue.

    Left out are those that may wait for ever.
    """
    counts = (rows["kind"] == REQUEST) & (rows["released_ns"] >= max(0, began_ns))
    counts &= (rows["issued_ns"] > 0) & (rows["released_ns"] > rows["issued_ns"])
    ended = pick(rows, counts & ~may_wait(rows))
    found = ended[np.argsort(latency_ms(ended), kind="stable")[-_MOST:]]
    in_order: EventArray = found[np.argsort(found["issued_ns"], kind="stable")]
    return in_order


def waterfall(rows: EventArray, shares: Mapping[int, str], files: NamesByRequest) -> str:
    """An ``<svg>`` of rows as :func:`slowest` gives them; ``shares`` are by tree id.

    A bar's label has the last part of its file's name, its title the whole.
    """
    if not len(rows):
        return ""
    scale = _Scale(int(rows["issued_ns"].min()), int(rows["released_ns"].max()))
    height = _TOP + _ROW * len(rows) + _BOTTOM
    names = rows.dtype.names or ()
    bars = "".join(
        part
        for place, values in enumerate(rows.tolist())
        for row in [dict(zip(names, values, strict=True))]
        for part in _bar(row, _TOP + place * _ROW, scale, shares, file_of(row, files))
    )
    axis = "".join(_axis(scale, height - _BOTTOM))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="The slowest requests">'
        f"{axis}{bars}</svg>"
    )


def _bar(
    row: dict[str, Any], y: int, scale: _Scale, shares: Mapping[int, str], file: str
) -> Iterator[str]:
    comm = row["comm"].decode("utf-8", "replace")
    share = shares.get(row["tree_id"], "").replace("\\", "/").rpartition("/")[2]
    command = command_name(row["command"]).removeprefix("SMB2_")
    length = duration((row["released_ns"] - row["issued_ns"]) / 1e6)
    label = f"{command[:16]} {share[:14]} {comm} {row['tgid']} {_short(file)}".rstrip()
    whole = shares.get(row["tree_id"], "") or (
        f"tree 0x{row['tree_id']:x}" if row["tree_id"] else ""
    )
    names = {"c": command, "p": f"{comm} {row['tgid']}", "s": whole}
    told = "".join(f' data-{key}="{text(name[:128])}"' for key, name in names.items())
    yield f'<g class="request"{told}><text class="start" x="0" y="{y + 12}">{text(label)}</text>'
    subject = f"{command} {share}/{file} {comm} {row['tgid']}" if file else label
    said = f"{subject}: {length}, status 0x{row['status']:08x}"
    title = f"<title>{text(said)}</title>"
    for kind, start_ns, end_ns in _phases(row):
        x = scale.x(start_ns)
        width = max(1.0, scale.x(end_ns) - x)
        yield (
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="12">'
            f"{title}</rect>"
        )
    end = scale.x(row["released_ns"]) + 5
    yield f'<text class="start" x="{end:.1f}" y="{y + 12}">{length}</text></g>'


def _short(file: str) -> str:
    name = file.rpartition("/")[2]
    return name if len(name) <= _MOST_OF_NAME else f"{name[: _MOST_OF_NAME - 3]}..."


def _phases(row: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    issued_ns, sent_ns, received_ns, released_ns = (
        row[f"{name}_ns"] for name in ("issued", "sent", "received", "released")
    )
    if not issued_ns < received_ns <= released_ns:
        yield "unanswered", issued_ns, released_ns
        return
    start_ns = issued_ns
    if issued_ns < sent_ns <= received_ns:
        yield "send", issued_ns, sent_ns
        start_ns = sent_ns
    yield "wire", start_ns, received_ns
    if received_ns < released_ns:
        yield "client", received_ns, released_ns


def _axis(scale: _Scale, bottom: int) -> Iterator[str]:
    whole_ms = (scale.last_ns - scale.first_ns) / 1e6
    for quarter in range(5):
        x = scale.x(scale.first_ns + (scale.last_ns - scale.first_ns) * quarter // 4)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        said = f"+{duration(whole_ms * quarter / 4)}" if quarter else "first issued"
        yield f'<text class="mid" x="{x:.1f}" y="{bottom + 16}">{said}</text>'
