# SPDX-License-Identifier: MIT
"""What is wrong with a text that is not YAML, where it is, and what would mend it."""

from __future__ import annotations

from typing import Final

import yaml

__all__ = ["syntax_problem"]

# The keys are PyYAML's words.
_KEY_WITHOUT_COLON: Final = "while scanning a simple key"
_SECOND_COLON: Final = "mapping values are not allowed here"
_ANCHOR_TWICE: Final = "found duplicate anchor"
_AFTER_THE_END: Final = "expected '<document start>', but found "
_NOT_THE_END: Final = (
    "expected nothing more, as what is above it is complete; is the indentation right?"
)
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
_REMEDIES: Final = {
    "while parsing a block mapping": "; is the indentation right?",
    _SECOND_COLON: ("; a key's colon needs a blank after it, a text with a colon needs quotes"),
}


def syntax_problem(
    error: yaml.MarkedYAMLError, text: str, plain: yaml.Token | None = None
) -> tuple[int, int, str]:
    """Line and column at fault, and what is wrong there.

    ``plain`` is the last text without quotes that was read.
    """
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        return 1, 1, f"not valid YAML: {error.problem}"
    if text[mark.index : mark.index + 1] == "\t":
        return mark.line + 1, mark.column + 1, "expected spaces, found a tab"
    if error.context == _KEY_WITHOUT_COLON and begin is not None:
        missing = _NO_BLANK if text[begin.index : begin.index + 1] == "-" else _NO_COLON
        return begin.line + 1, begin.column + 1, missing
    if error.problem == _SECOND_COLON and plain is not None:
        begun, end = plain.start_mark, plain.end_mark
        if begun.line < mark.line and not text[end.index : mark.index].strip():
            return _of_many_lines(mark, begun, text)
    if error.context and error.context.startswith(_ANCHOR_TWICE) and begin is not None:
        lines = f"line {begin.line + 1} and in line {mark.line + 1}"
        message = f"not valid YAML: expected an anchor once, found it in {lines}"
        return mark.line + 1, mark.column + 1, message
    what = ", ".join(part for part in (error.context, error.problem) if part)
    if what.startswith(_AFTER_THE_END):
        what = _NOT_THE_END
    if begin is not None and begin.line < mark.line and error.context in _OPENED:
        what += f"; it begins in line {begin.line + 1}"
    what += _REMEDIES.get(error.context or error.problem or "", "")
    return mark.line + 1, mark.column + 1, f"not valid YAML: {what}"


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
