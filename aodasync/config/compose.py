# SPDX-License-Identifier: MIT
"""From YAML text to a :mod:`~aodasync.config.document`; the one module that knows PyYAML's nodes.

The pure Python parser is used, not libyaml's: its nesting can be bounded, and
positions and messages are the same on every host. Files are a few kilobytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
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
from aodasync.config.problems import Problems
from aodasync.config.syntax import Seen, syntax_problem
from aodasync.errors import ConfigError, ConfigProblem

__all__ = ["parse", "refuse"]

_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 10_000
_MAX_DIGITS: Final = 100
_TAG: Final = "tag:yaml.org,2002:"
_BREAKS_OF_YAML_ALONE: Final = re.compile("[\x85\u2028\u2029]")
_TEXT_TAGS: Final = frozenset({"str", "timestamp", "value", "merge"})


def parse(text: str, file: str, problems: Problems, *, or_nothing: bool = False) -> Node:
    """The document in ``text``; ``file`` names it in errors.

    With ``or_nothing`` a text without a value (comments alone) is an empty mapping.

    Faults that leave the rest readable (a duplicate key, an odd tag) are reported to
    ``problems``, and their values are :class:`Broken`.

    Raises:
        ConfigError: the text is not one YAML document, or an empty one.
    """
    seen = Seen()
    try:
        root = _Loader(text, seen).get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        character = f"U+{ord(text[error.position]):04X}"
        refuse(file, line, column, f"YAML does not allow the character {character}")
    except yaml.MarkedYAMLError as error:
        line, column, message = syntax_problem(error, text, seen)
        refuse(file, line, column, message)
    if root is None or root.tag == f"{_TAG}null":
        if or_nothing:
            return Fields(file, 1, 1, {})
        refuse(file, 1, 1, "expected a mapping ({} is all defaults), found nothing")
    return _Converter(file, problems).node(root, "")


def refuse(file: str, line: int, column: int, message: str, *, hint: str = "") -> NoReturn:
    """Give up on the whole file."""
    raise ConfigError(file, [ConfigProblem(file, line, column, WHOLE_FILE, message)], hint=hint)


class _Loader(yaml.SafeLoader):
    """Composes, and refuses nesting and sizes that no configuration has.

    ``seen`` is given what was read, for messages about what is wrong after it.
    """

    def __init__(self, text: str, seen: Seen) -> None:
        self._breaks = [found.start() for found in _BREAKS_OF_YAML_ALONE.finditer(text)]
        super().__init__(text)
        self._seen = seen
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As the base class, within the bounds."""
        self._depth += 1
        self._nodes += 1
        if self._depth > _MAX_DEPTH and parent is not None:
            problem = f"nested more than {_MAX_DEPTH} levels deep"
            raise ComposerError(None, None, problem, parent.start_mark)
        if self._nodes > _MAX_NODES and parent is not None:
            raise ComposerError(None, None, f"more than {_MAX_NODES} values", parent.start_mark)
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._seen.note(None if alias else node)
        return node

    def get_mark(self) -> yaml.Mark:
        """As the base class, in lines as editors and grep count them."""
        mark = super().get_mark()
        mark.line -= bisect_left(self._breaks, mark.index)
        return mark

    def fetch_plain(self) -> None:
        """As the base class; an error may be about the text."""
        super().fetch_plain()
        self._seen.plain = self.tokens[-1]

    def fetch_more_tokens(self) -> None:
        """As the base class; numbers in escapes and directives may be beyond all bounds."""
        try:
            super().fetch_more_tokens()
        except (OverflowError, ValueError) as error:
            raise yaml.scanner.ScannerError(None, None, str(error), self.get_mark()) from error


class _Converter:
    """Turns PyYAML's nodes into ours, each of them once.

    Counts the values that the file has when every alias and merge is written out: a few
    lines of nested aliases stand for billions.
    """

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._scalars = SafeConstructor()
        self._done: dict[int, tuple[Node, int]] = {}
        self._open: set[int] = set()
        self._written_out = 0

    def node(self, node: yaml.Node, key: str) -> Node:
        if id(node) in self._done:
            converted, values = self._done[id(node)]
            self._count(values, node)
            return converted
        if id(node) in self._open:
            return self._broken(node, key, "an alias cannot be part of the value it stands for")
        self._open.add(id(node))
        before = self._written_out
        self._count(1, node)
        converted = self._convert(node, key)
        self._done[id(node)] = converted, self._written_out - before
        return converted

    def _count(self, values: int, node: yaml.Node) -> None:
        self._written_out += values
        if self._written_out > _MAX_NODES:
            message = f"aliases stand for more than {_MAX_NODES} values"
            refuse(*self._place(node), message)

    def _convert(self, node: yaml.Node, key: str) -> Node:
        place = self._place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            items = enumerate(node.value)
            return Items(*place, tuple(self.node(n, f"{key}[{i}]") for i, n in items))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return Fields(*place, self._entries(node, key))
        return self._odd_tag(node, key)

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Node:
        place = self._place(node)
        kind = node.tag.removeprefix(_TAG)
        if kind in _TEXT_TAGS:
            last_line = 0 if node.style else node.end_mark.line + 1
            return Scalar(*place, node.value, last_line)
        if kind not in {"int", "float", "bool", "null"}:
            return self._odd_tag(node, key)
        expected = f"a value of type {kind}"
        try:
            if len(node.value) <= _MAX_DIGITS:
                return Scalar(*place, self._scalars.construct_object(node))
            expected += f" of 1-{_MAX_DIGITS} digits"
        except (ValueError, KeyError, IndexError):
            pass
        return self._broken(node, key, f"expected {expected}, found {quoted(node.value)}")

    def _entries(self, node: yaml.MappingNode, key: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged.append(value_node)
            else:
                self._entry(entries, key, key_node, value_node)
        for value_node in merged:
            brought_in = self._merged(value_node, key_path(key, "<<"))
            self._count(len(brought_in), value_node)
            for name, entry in brought_in.items():
                entries.setdefault(name, entry)
        return entries

    def _entry(
        self, entries: dict[str, Entry], parent: str, key_node: yaml.Node, value_node: yaml.Node
    ) -> None:
        name = self.node(key_node, parent)
        if isinstance(name, Broken):
            return
        if not (isinstance(name, Scalar) and isinstance(name.value, str)):
            found = key_node.value if isinstance(name, Scalar) else ""
            message = f"expected text as a key (quote it), found {found or describe(name)}"
            self._problems.error(name, parent or WHOLE_FILE, message)
            return
        key = key_path(parent, name.value)
        place = self._place(key_node)
        value = self.node(value_node, key)
        if name.value in entries:
            first = entries[name.value].line
            message = f"expected the key once, found it in line {first} and in line {place[1]}"
            self._problems.error(Broken(*place), key, message)
            return
        entries[name.value] = Entry(*place, value)

    def _merged(self, node: yaml.Node, key: str) -> dict[str, Entry]:
        """What ``<<`` brings in; of several mappings the first counts (YAML 1.1, merge type)."""
        value = self.node(node, key)
        entries: dict[str, Entry] = {}
        for source in value.items if isinstance(value, Items) else (value,):
            if isinstance(source, Fields):
                entries = {**source.entries, **entries}
            elif not isinstance(source, Broken):
                message = f"expected an alias of a mapping, found {describe(source)}"
                self._problems.error(source, key, message)
        return entries

    def _odd_tag(self, node: yaml.Node, key: str) -> Broken:
        return self._broken(node, key, f"expected a plain value, found the tag {quoted(node.tag)}")

    def _broken(self, node: yaml.Node, key: str, message: str) -> Broken:
        broken = Broken(*self._place(node))
        self._problems.error(broken, key or WHOLE_FILE, message)
        return broken

    def _place(self, node: yaml.Node) -> tuple[str, int, int]:
        return self._file, node.start_mark.line + 1, node.start_mark.column + 1
