# SPDX-License-Identifier: MIT
"""Manual pages and fish completion, made from the declarations: arguments and settings."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aodasync import __version__
from aodasync.cli.arguments import parser
from aodasync.config import schema
from aodasync.config.guardian import settings_of

__all__ = ["command", "configuration", "fish"]

_REQUIREMENTS: Final = """.SH REQUIREMENTS
Linux 5.15 or newer with BTF of the kernel and of the cifs module. Root. bcc from the distribution
(python3\\-bpfcc), unless byte code for this kernel's layout was imported
(\\fBaodasync probe import\\fR). What is missing, \\fBaodasync doctor\\fR says.
"""
_README: Final = Path(__file__).resolve().parents[1] / "README.md"
_REST: Final = """.SH FILES
.TP
.I /etc/aodasync/config.yaml
The configuration, see
.BR aodasync.yaml (5).
.TP
.I /etc/aodasync/conf.d/*.yaml
Settings that differ from it, read in the order of their names.
.TP
.I /var/log/aod/batches/
Bundles (aod_output_dir).
.TP
.I /var/lib/aodasync/
What was learnt, the history of episodes, imported byte code, and which name stands for which in
anonymised copies.
.TP
.I /var/cache/aodasync/
Byte code of the probe, and what captures have recorded. It may be deleted.
.TP
.I /run/aodasync/
The control socket, and the lock: one agent for each host.
.SH SECURITY
A bundle names servers, shares, users, processes, files and addresses, and holds the logs of the
last minutes. It holds no file contents and no session keys. It can be read by root alone.
\\fBaodasync bundles anonymise\\fR makes a copy with other names.
.SH EXIT STATUS
0 done; 1 failed; 64 wrong usage; 69 something that is needed is missing; 77 not permitted;
78 the configuration was refused. \\fBaodasync check\\fR has those of Nagios: 0 ok, 1 warning,
2 critical, 3 unknown.
.SH SEE ALSO
.BR aodasync.yaml (5),
.BR mount.cifs (8),
.BR smbinfo (1)
"""


def _escaped(text: str) -> str:
    """Text for troff: backslashes, hyphens, and a line that would be a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _head(name: str, section: int, summary: str) -> str:
    return (
        f'.TH {name.upper()} {section} "" "aodasync {__version__}" "aodasync"\n'
        f".SH NAME\n{_escaped(name)} \\- {_escaped(summary)}\n"
    )


def _commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, help and parser of each command."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                if name in texts:
                    yield name, texts[name], sub


def _all_commands(
    top: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Those below other commands, too."""
    for name, text, sub in _commands(top):
        yield name, text, sub
        yield from _all_commands(sub)


def _usage(sub: argparse.ArgumentParser) -> str:
    """The usage on one line, without the options that all commands have."""
    usage = " ".join(sub.format_usage().removeprefix("usage: ").split())
    return re.sub(r" \[(-h|--(config|output-dir|log-level|log-format) [^]]+)\]", "", usage)


def _options(sub: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    common = {"--config", "--output-dir", "--log-level", "--log-format", "--help"}
    for action in sub._actions:
        if not action.help or action.help == argparse.SUPPRESS:
            continue
        if not common.intersection(action.option_strings):
            value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
            shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            flag = bool(action.option_strings) and action.nargs != 0
            yield (f"{shown} {value}" if flag else shown), action.help


def command() -> str:
    """aodasync(8)."""
    top = parser()
    parts = [
        _head("aodasync", 8, "always-on diagnostics for Linux SMB/CIFS clients"),
        ".SH SYNOPSIS\n.B aodasync\n[\\fIOPTIONS\\fR] [\\fICOMMAND\\fR]\n",
        (
            ".SH DESCRIPTION\n"
            "The agent records every SMB request of the kernel's CIFS client, detects anomalies\n"
            "while they happen, saves the evidence from before and during them, and names the\n"
            "likely cause.\n"
            "Without a command it runs the agent in the foreground; the service does the same.\n"
        ),
        ".SH COMMANDS\n",
    ]
    for name, text, sub in _all_commands(top):
        parts.append(f".TP\n.B {_escaped(_usage(sub))}\n{_escaped(text or name)}\n")
        for flags, meaning in _options(sub):
            parts.append(f".RS\n.TP\n.B {_escaped(flags)}\n{_escaped(meaning)}\n.RE\n")
    parts.append(".SH OPTIONS\nThese are good before and after the command.\n")
    for action in top._actions:
        if action.option_strings and action.help:
            value = f" {action.metavar}" if action.metavar and action.nargs != 0 else ""
            flags = _escaped(", ".join(action.option_strings) + value)
            parts.append(f".TP\n.B {flags}\n{_escaped(action.help)}\n")
    return "".join([*parts, _REQUIREMENTS, *_overhead(_README.read_text(encoding="utf-8")), _REST])


def _overhead(readme: str) -> Iterator[str]:
    """What the bench wrote into the README, as far as it has a bound and is no comparison."""
    host, table = re.findall(r"<!-- made by: .*\nOn (.*):\n\n((?:\|.*\n)+)", readme)[0]
    yield ".SH OVERHEAD\nCompiling the probe, once for each kernel layout, takes a second and\n"
    yield f"130 MB in a child process. Measured on {_escaped(host)}:\n"
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.+?) \|$", table, re.MULTILINE)
    for name, measured, bound in rows[1:]:
        if not bound.endswith(" x"):
            yield f".TP\n{_escaped(name)}\n{_escaped(measured)}; at most {_escaped(bound)}\n"


def _settings(part: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each setting below a part of the schema, by its path; what lists hold is ``KEY[]``."""
    for key, setting in (part.get("properties") or {}).items():
        name = f"{path}.{key}" if path else key
        yield name, setting
        yield from _settings(setting, name)
    for inner, sign in (("additionalProperties", ".NAME"), ("items", "[]")):
        if isinstance(part.get(inner), Mapping):
            yield from _settings(part[inner], path + sign)


def _by_type(whole: dict[str, Any]) -> dict[str, Any]:
    """The schema, where each anomaly has what its type has, and no more."""
    anomalies = whole["properties"]["guardian"]["properties"]["anomalies"]
    for name, part in anomalies["properties"].items():
        part |= {"properties": settings_of(name).schema()["properties"]}
    anomalies["description"] += ' One of another name has a "type", and its settings.'
    del anomalies["additionalProperties"]
    return whole


def configuration() -> str:
    """aodasync.yaml(5)."""
    parts = [
        _head("aodasync.yaml", 5, "configuration of aodasync"),
        (
            ".SH DESCRIPTION\n"
            "YAML. Every setting has a default, so that an empty mapping is a valid file. Files\n"
            "of AODv2, in both of their formats, work unchanged.\n"
            "\\fBaodasync check\\-config\\fR prints the effective configuration.\n.SH SETTINGS\n"
        ),
    ]
    for name, setting in _settings(_by_type(schema())):
        bounds = _bounds(setting)
        text = _escaped(str(setting.get("description", "")))
        parts.append(f".TP\n.B {_escaped(name)}\n{text}{_escaped(bounds)}\n")
    parts.append(".SH SEE ALSO\n.BR aodasync (8)\n")
    return "".join(parts)


def _bounds(setting: Mapping[str, Any]) -> str:
    found = []
    if "minimum" in setting:
        found.append(f"from {setting['minimum']} to {setting.get('maximum')}")
    if "enum" in setting:
        found.append("one of " + ", ".join(map(str, setting["enum"])))
    if "default" in setting:
        found.append(f"default: {json.dumps(setting['default'])}")
    return f" ({'; '.join(found)})" if found else ""


def fish() -> str:
    """Completion for fish, which shtab does not make."""
    lines = ["complete -c aodasync -f"]
    for name, text, sub in _commands(parser()):
        quoted = text.replace("'", "\\'")
        lines.append(f"complete -c aodasync -n __fish_use_subcommand -a {name} -d '{quoted}'")
        for action in sub._actions:
            for flag in action.option_strings:
                if flag.startswith("--"):
                    condition = f"'__fish_seen_subcommand_from {name}'"
                    lines.append(f"complete -c aodasync -n {condition} -l {flag[2:]}")
    return "\n".join(lines) + "\n"
