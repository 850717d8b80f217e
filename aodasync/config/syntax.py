# SPDX-License-Identifier: MIT
"""What is wrong with a text that is not YAML, where it is, and what would fix it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import yaml

__all__ = ["Seen", "syntax_problem"]

# The keys are PyYAML's words.
_KEY_WITHOUT_COLON: Final = "while scanning a simple key"
_SECOND_COLON: Final = "mapping values are not allowed here"
_ANCHOR_TWICE: Final = "found duplicate anchor"
_AFTER_THE_END: Final = "expected '<document start>', but found "
_NO_BLANK: Final = "not valid YAML: expected - ITEM, with a blank after the dash"
_NO_COLON: Final = "not valid YAML: expected KEY: VALUE, with a blank after the colon"
_OPENED: Final = frozenset(
    f"while {doing}"
    for doing in (
        "parsing a flow mapping",
        "parsing a flow sequence",
        "parsing a block mapping",
        "parsing a block collection",
        "scanning a quoted scalar",
    )
)
_NO_QUOTE: Final = ("while scanning a quoted scalar", "found unexpected end of stream")
_MORE: Final = "'<scalar>'"
_QUOTES: Final = ('"', "'")
_REMEDIES: Final = {
    _SECOND_COLON: "; a key's colon needs a blank after it, a text with a colon needs quotes",
}
_IN_LINES: Final = ("while parsing a block mapping", "while parsing a block collection")
_DEEPER: Final = ("but found '<block mapping start>'", "but found '<block sequence start>'")


@dataclass(slots=True)
class Seen:
    """What was read last: a text without quotes, a single value, and what ended after it.

    ``ended`` are the lists and mappings that are written in lines, the inner ones first.
    """

    plain: yaml.Token | None = None
    scalar: yaml.Node | None = None
    ended: list[yaml.Node] = field(default_factory=list)

    def note(self, node: yaml.Node | None) -> None:
        """Take notice of a node that is complete; of an alias it is None."""
        if isinstance(node, yaml.CollectionNode):
            if not node.flow_style:
                self.ended.append(node)
        else:
            self.scalar = node
            self.ended.clear()


def syntax_problem(error: yaml.MarkedYAMLError, text: str, seen: Seen) -> tuple[int, int, str]:
    """Line and column at fault, and what is wrong there."""
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        return 1, 1, f"not valid YAML: {error.problem}"
    if text[mark.index : mark.index + 1] == "\t":
        return mark.line + 1, mark.column + 1, "expected spaces, found a tab"
    if error.context == _KEY_WITHOUT_COLON and begin is not None:
        return _no_key(begin, text)
    if other := _of_quotes(error, mark, seen) or _before_it(error, mark, text, seen):
        return other
    what = ", ".join(part for part in (error.context, error.problem) if part)
    if error.context and error.context.startswith(_ANCHOR_TWICE) and begin is not None:
        lines = f"line {begin.line + 1} and in line {mark.line + 1}"
        what = f"expected an anchor once, found it in {lines}"
    after = what.startswith(_AFTER_THE_END)
    if after:
        what = "expected nothing more, as what is above it is complete"
    dash = what.endswith("but found '-'")
    if begin is not None and begin.line < mark.line and error.context in _OPENED:
        what += f"; it begins in line {begin.line + 1}"
    what += _REMEDIES.get(error.context or error.problem or "", "")
    if after or error.context in _IN_LINES:
        outer = [node.start_mark for node in seen.ended if node.start_mark.column > mark.column]
        where = f", here or in line {outer[-1].line + 1}" if outer else ""
        missing = ", and no dash missing above it" if dash else ""
        what += f"; is the indentation right{where}{missing}?"
    return mark.line + 1, mark.column + 1, f"not valid YAML: {what}"


def _no_key(place: yaml.Mark, text: str, besides: str = "") -> tuple[int, int, str]:
    """Of a text that stands alone in its line."""
    missing = _NO_BLANK if text[place.index : place.index + 1] == "-" else _NO_COLON
    return place.line + 1, place.column + 1, f"{missing}{besides}"


def _before_it(
    error: yaml.MarkedYAMLError, mark: yaml.Mark, text: str, seen: Seen
) -> tuple[int, int, str] | None:
    """Of an error whose cause is a text above it, without its colon or dash."""
    question = f"; or is the indentation of line {mark.line + 1} right?"
    found = error.problem or ""
    if found == _SECOND_COLON and seen.plain is not None:
        begun, end = seen.plain.start_mark, seen.plain.end_mark
        if begun.line < mark.line and not text[end.index : mark.index].strip():
            return _of_many_lines(mark, begun, text)
    if seen.scalar is None or seen.ended or seen.scalar.start_mark.line == mark.line:
        return None
    above = seen.scalar.start_mark
    alone = not text[above.index - above.column : above.index].strip()
    if found.startswith(_AFTER_THE_END) and alone:
        return _no_key(above, text)
    if found.endswith(_DEEPER) and alone and above.column <= mark.column:
        return _no_key(above, text, question)
    return None


def _of_quotes(
    error: yaml.MarkedYAMLError, mark: yaml.Mark, seen: Seen
) -> tuple[int, int, str] | None:
    """Of a text in quotes that has no end, or ends with the first quote of the next one."""
    begun = error.context_mark
    if (error.context, error.problem) == _NO_QUOTE and begun is not None:
        message = "not valid YAML: expected a quote at the end of this text, found the file's end"
        return begun.line + 1, begun.column + 1, message
    before = seen.scalar
    if not (error.problem or "").endswith(_MORE) or not isinstance(before, yaml.ScalarNode):
        return None
    if before.style not in _QUOTES or seen.ended or before.end_mark.line != mark.line:
        return None
    where = f"in line {mark.line + 1}, column {mark.column + 1}"
    found = f"expected nothing more after this text in quotes, found a text {where}"
    message = f"not valid YAML: {found}; is a quote or a comma missing?"
    return before.start_mark.line + 1, before.start_mark.column + 1, message


def _of_many_lines(colon: yaml.Mark, begun: yaml.Mark, text: str) -> tuple[int, int, str]:
    """Of a text that runs on, for want of a colon or for its indentation, into a line with one."""
    first = text[begun.index - begun.column : begun.index].strip()
    here = text.rfind("\n", 0, colon.index) + 1
    indented = len(text[here : colon.index]) - len(text[here : colon.index].lstrip())
    question = f"is the indentation of line {colon.line + 1} right?"
    if not first:
        return begun.line + 1, begun.column + 1, _NO_COLON
    if not first.strip("- "):
        return begun.line + 1, begun.column + 1, f"{_NO_COLON}; or {question}"
    message = f"not valid YAML: it goes on with the text of line {begun.line + 1}; {question}"
    return colon.line + 1, indented + 1, message
