# SPDX-License-Identifier: MIT
"""From YAML text to a :mod:`~aodasync.config.document`; the one module that knows PyYAML's nodes.

The pure Python parser is used, not libyaml's: its nesting can be bounded, and
positions and messages are the same on every host. Files are a few kilobytes.
"""

from __future__ import annotations

from typing import Final, NoReturn

import yaml
from yaml.composer import ComposerError
from yaml.constructor import SafeConstructor
from yaml.reader import ReaderError

from aodasync.config.document import (
    WHOLE_FILE,
    Broken,
    Entry,
    Fields,
    Items,
    Node,
    Scalar,
    describe,
    key_path,
    quoted,
)
from aodasync.config.findings import Findings
from aodasync.errors import ConfigError, ConfigProblem

__all__ = ["parse", "refuse"]

_MAX_DEPTH: Final = 32
_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset({"str", "timestamp", "value", "merge"})


def parse(text: str, file: str, findings: Findings) -> Node:
    """The document in ``text``; ``file`` names it in errors.

    Faults that leave the rest readable (a duplicate key, an odd tag) are reported to
    ``findings``, and their values are :class:`Broken`.

    Raises:
        ConfigError: the text is not one YAML document, or an empty one.
    """
    try:
        root = _Loader(text).get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        character = f"U+{ord(text[error.position]):04X}"
        refuse(file, line, column, f"found the character {character}, which YAML does not allow")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        tab = mark is not None and text[mark.index : mark.index + 1] == "\t"
        what = ", ".join(part for part in (error.context, error.problem) if part)
        message = "found a tab; YAML indents with spaces" if tab else f"not valid YAML: {what}"
        refuse(file, line, column, message)
    if root is None or root.tag == f"{_TAG}null":
        refuse(file, 1, 1, "found no settings; a mapping is right ({} takes every default)")
    return _Converter(findings).node(root, "")


def refuse(file: str, line: int, column: int, message: str, *, hint: str = "") -> NoReturn:
    """Give up on the whole file."""
    raise ConfigError(file, [ConfigProblem(line, column, WHOLE_FILE, message)], hint=hint)


class _Loader(yaml.SafeLoader):
    """Composes, and refuses nesting that no configuration has."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As the base class, within the bound."""
        self._depth += 1
        if self._depth > _MAX_DEPTH and parent is not None:
            problem = f"nested more than {_MAX_DEPTH} levels deep"
            raise ComposerError(None, None, problem, parent.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def fetch_more_tokens(self) -> None:
        """As the base class; numbers in escapes and directives may be beyond all bounds."""
        try:
            super().fetch_more_tokens()
        except (OverflowError, ValueError) as error:
            raise yaml.scanner.ScannerError(None, None, str(error), self.get_mark()) from error


class _Converter:
    """Turns PyYAML's nodes into ours, each of them once."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._scalars = SafeConstructor()
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()

    def node(self, node: yaml.Node, key: str) -> Node:
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            return self._broken(node, key, "found an alias of what it is part of; write it out")
        self._open.add(id(node))
        converted = self._convert(node, key)
        self._done[id(node)] = converted
        return converted

    def _convert(self, node: yaml.Node, key: str) -> Node:
        line, column = _place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            items = enumerate(node.value)
            return Items(line, column, tuple(self.node(n, f"{key}[{i}]") for i, n in items))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return Fields(line, column, self._entries(node, key))
        return self._odd_tag(node, key)

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Node:
        line, column = _place(node)
        kind = node.tag.removeprefix(_TAG)
        if kind in _TEXT_TAGS:
            return Scalar(line, column, node.value)
        if kind not in {"int", "float", "bool", "null"}:
            return self._odd_tag(node, key)
        try:
            return Scalar(line, column, self._scalars.construct_object(node))
        except (ValueError, KeyError, IndexError):
            return self._broken(node, key, f"found {quoted(node.value)}, which is no {kind}")

    def _entries(self, node: yaml.MappingNode, key: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged.append(value_node)
            else:
                self._entry(entries, key, key_node, value_node)
        for value_node in merged:
            for name, entry in self._merged(value_node, key_path(key, "<<")).items():
                entries.setdefault(name, entry)
        return entries

    def _entry(
        self, entries: dict[str, Entry], parent: str, key_node: yaml.Node, value_node: yaml.Node
    ) -> None:
        name = self.node(key_node, parent)
        if isinstance(name, Broken):
            return
        if not (isinstance(name, Scalar) and isinstance(name.value, str)):
            message = f"found {describe(name)} as a key; a key is text (quote it)"
            self._findings.error(name, parent or WHOLE_FILE, message)
            return
        key = key_path(parent, name.value)
        line, column = _place(key_node)
        value = self.node(value_node, key)
        if name.value in entries:
            first = entries[name.value].line
            message = f"found twice, in line {first} and in line {line}; once is right"
            self._findings.error(Broken(line, column), key, message)
            return
        entries[name.value] = Entry(line, column, value)

    def _merged(self, node: yaml.Node, key: str) -> dict[str, Entry]:
        """What ``<<`` brings in; of several mappings the first counts (YAML 1.1, merge type)."""
        value = self.node(node, key)
        entries: dict[str, Entry] = {}
        for source in value.items if isinstance(value, Items) else (value,):
            if isinstance(source, Fields):
                entries = {**source.entries, **entries}
            elif not isinstance(source, Broken):
                message = f"found {describe(source)}; an alias of a mapping is right"
                self._findings.error(source, key, message)
        return entries

    def _odd_tag(self, node: yaml.Node, key: str) -> Broken:
        return self._broken(node, key, f"found the tag {quoted(node.tag)}; a plain value is right")

    def _broken(self, node: yaml.Node, key: str, message: str) -> Broken:
        broken = Broken(*_place(node))
        self._findings.error(broken, key or WHOLE_FILE, message)
        return broken


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
