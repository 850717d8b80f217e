# SPDX-License-Identifier: MIT
"""``aodasync why``: the open or newest episode in 12 lines."""

from __future__ import annotations

import os
import shlex
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from aodasync.bundle.archive import read_manifest
from aodasync.bundle.episode import past_episode
from aodasync.cli.durations import duration
from aodasync.cli.json_text import json_text
from aodasync.errors import AodasyncError, BundleError, ExitCode, NotPermittedError, UsageError
from aodasync.evidence import history
from aodasync.evidence.history import PastEpisode
from aodasync.host.local_time import moment
from aodasync.host.printable import printable

__all__ = [
    "episode_of_bundle",
    "explain",
    "find_episode",
    "labelled",
    "load",
    "text_width",
    "why",
]

_WIDTH: Final = 100
_LEAST_WIDTH: Final = 40


def load(directory: Path) -> tuple[PastEpisode, ...]:
    """The history of this host.

    Raises:
        NotPermittedError: the caller may not read it.
        BundleError: it cannot be read.
    """
    try:
        return history.read(directory)
    except PermissionError as error:
        raise NotPermittedError("the history may be read by root alone", hint="sudo") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{directory}/{history.FILE}: {reason}") from error
    except ValueError as error:
        raise BundleError(f"{directory}/{history.FILE}: {error}") from error


def find_episode(found: Sequence[PastEpisode], named: str | None) -> PastEpisode:
    """The episode of an id, its number, or a prefix; without one: an open one, else the newest.

    Raises:
        BundleError: there is none.
    """
    if not found and named in (None, "latest"):
        raise BundleError("no episode so far", hint="aodasync top shows what happens now")
    if named in (None, "latest"):
        return next((e for e in reversed(found) if e.open), found[-1])
    matching = [e for e in found if e.id == named or e.id.endswith(f"-{named}")]
    if not matching:
        matching = [e for e in found if e.id.startswith(named) or e.bundle.startswith(named)]
    if not matching:
        raise BundleError(f"no episode {named!r}", hint="aodasync history lists them")
    return matching[-1]


def episode_of_bundle(path: Path) -> PastEpisode:
    """The episode that a bundle is of, as its manifest has it.

    Raises:
        NotPermittedError: it may not be read.
        BundleError: it cannot be, or is no episode's.
    """
    found = past_episode(read_manifest(path), str(path))
    if found is None:
        hint = f"aodasync report {shlex.quote(str(path))}"
        raise BundleError(f"{path}: a snapshot, which is of no episode", hint=hint)
    return found


def why(
    directory: Path,
    named: str | None,
    *,
    as_json: bool,
    out: TextIO,
    find_bundle: Callable[[str | None], Path] | None = None,
) -> int:
    """Explain one episode: of the history, or that of the bundle whose path is given.

    Where the history has none, that of the bundle that ``find_bundle`` finds.

    Raises:
        UsageError: the name is empty.
        BundleError: there is no such episode, or the bundle cannot be read.
        NotPermittedError: the caller may not look.
    """
    if named == "":
        raise UsageError(
            "expected an episode or a bundle, found nothing", hint="aodasync history lists episodes"
        )
    found: tuple[PastEpisode, ...] = ()
    now_ns: int | None = None
    if named is not None and (os.sep in named or os.path.lexists(named)):
        episode = episode_of_bundle(Path(named))
    else:
        found = load(directory)
        try:
            episode, now_ns = find_episode(found, named), time.time_ns()
        except BundleError as error:
            episode = _of_stored(named, find_bundle, error)
    if as_json:
        out.write(json_text({"schema_version": 1, **episode.as_json()}))
    else:
        also = [each for each in reversed(found) if each.open and each is not episode]
        newest = next((each for each in reversed(found) if each.bundle), None)
        lines = explain(
            episode, now_ns=now_ns, also=also, newest=episode is newest, width=text_width(out)
        )
        out.writelines(f"{printable(line)}\n" for line in lines)
    return ExitCode.OK


def _of_stored(
    named: str | None, find_bundle: Callable[[str | None], Path] | None, error: BundleError
) -> PastEpisode:
    if find_bundle is None:
        raise error
    try:
        path = find_bundle(named)
    except AodasyncError:
        raise error from None
    if not os.path.lexists(path):
        raise error  # no path was meant, and without an output directory there is no bundle
    return episode_of_bundle(path)


def text_width(out: TextIO) -> int:
    """The columns of a terminal, or those that COLUMNS says, from 40 to 100; elsewhere 100."""
    known = out.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    columns = shutil.get_terminal_size((_WIDTH, 24)).columns if known else _WIDTH
    return max(_LEAST_WIDTH, min(columns, _WIDTH))


def explain(
    episode: PastEpisode,
    *,
    now_ns: int | None,
    also: Sequence[PastEpisode] = (),
    newest: bool = False,
    width: int = _WIDTH,
) -> list[str]:
    """What happened, why, who suffered, and what to do next: 12 lines at most of 100 columns.

    ``now_ns`` is CLOCK_REALTIME; None where no more is known than when a bundle was ordered.
    ``also`` are other episodes that are open; commands take the ``newest`` bundle unasked.
    """
    verdict = episode.verdict
    cause = str(verdict.get("cause") or "unknown")
    confidence = f" ({verdict['confidence']})" if verdict.get("confidence") else ""
    sentence = str(verdict.get("sentence") or "no bundle was collected, so nothing was judged")
    part = partial(labelled, width=width)
    lines = textwrap.wrap(_short(_headline(episode, now_ns)), width)
    lines += part("cause", f"{cause}{confidence}: {sentence}", most=3)
    lines += part("who", _who(episode), most=2)
    if verdict.get("refuted_by"):
        lines += part("against", f"would speak: {verdict['refuted_by']}", most=2)
    report = "aodasync report BUNDLE" if episode.bundle and not newest else "aodasync report"
    for place, step in enumerate(episode.next[:2]):
        step_here = step.replace("aodasync report", report)
        lines += part("next" if place == 0 else "", step_here, most=1)
    bundle = episode.bundle or (f"none: {episode.suppressed}" if episode.suppressed else "none yet")
    lines += part("bundle", bundle, most=1)
    others = ", ".join(f"{e.id.rpartition('-')[2]} ({e.anomaly} on {e.server})" for e in also)
    shown = f"{episode.id}; also open: {others}" if others else episode.id
    lines += part("episode", shown, most=1)
    return lines


def _headline(episode: PastEpisode, now_ns: int | None) -> str:
    began = moment(episode.began_ns)
    if episode.ended_ns is not None:
        span = f"lasted {duration(episode.ended_ns - episode.began_ns)}"
    elif episode.cut_off:
        span = "the agent ended before it did"
    elif now_ns is None:
        span = "still open when the bundle was ordered"
    else:
        span = f"still going on ({duration(now_ns - episode.began_ns)})"
    digits = ".0f" if episode.usual_ms and episode.usual_ms >= 1000 else ".3g"
    usual = f" (usual {episode.usual_ms:{digits}})" if episode.usual_ms else ""
    worst = f", worst {episode.worst_ms:.0f} ms{usual}" if episode.worst_ms else ""
    what = f"{episode.anomaly}{' (emergency)' if episode.emergency else ''}"
    what += f" ({episode.rule})" if episode.rule else ""
    kind = ", ".join(episode.codes[:3]) or f"request{'s' * (episode.count != 1)}"
    return f"{what} on {episode.server} since {began}, {span}: {episode.count:,} {kind}{worst}"


def _who(episode: PastEpisode) -> str:
    processes = _named(episode.who.get("processes"), with_pid=True)
    shares = _named(episode.who.get("shares"))
    commands = ", ".join(c.removeprefix("SMB2_") for c in episode.commands[:4])
    files = _named(episode.who.get("files"))
    parts = [", ".join(processes[:4]), ", ".join(shares[:2]), ", ".join(files[:2]), commands]
    return "; ".join(part for part in parts if part) or "not known"


def _named(entries: Any, *, with_pid: bool = False) -> list[str]:
    """Names with their share of the time that was waited."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping):
            pid = f" {entry.get('pid')}" if with_pid else ""
            part = entry.get("share_of_time")
            shown = f" ({part:.0%})" if isinstance(part, int | float) else ""
            found.append(f"{entry.get('name')}{pid}{shown}")
    return found


def _short(line: str) -> str:
    more = len(line) - 3 * _WIDTH
    return line if more <= 0 else f"{line[: 3 * _WIDTH]} [{more:,} more characters]"


def labelled(label: str, text: str, *, most: int, width: int = _WIDTH) -> list[str]:
    """The beginning of the text in lines under a label, and how much more of it there is.

    ``most`` is how many lines it may have of 100 columns. What fits there is whole in fewer
    columns, too, in as many lines as it takes.
    """
    indent = len(f"{'':<9}")
    begin = text[: (most + 1) * (_WIDTH - indent)]
    whole = begin == text and len(textwrap.wrap(begin, _WIDTH - indent)) <= most
    width -= indent
    wrapped = textwrap.wrap(begin, width) or [""]
    if not whole:
        most = min(len(wrapped), -(-most * (_WIDTH - indent) // width))
        *before, last = wrapped[:most]
        last = last[: width - len(_more(len(text)))].rstrip()
        hidden = len(text) - sum(len(part) + 1 for part in before) - len(last)
        wrapped = [*before, last + _more(hidden)]
    return [f"{label if n == 0 else '':<9}{part}" for n, part in enumerate(wrapped)]


def _more(characters: int) -> str:
    return f" [{characters:,} more characters]"
