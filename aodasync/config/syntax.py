# SPDX-License-Identifier: MIT
"""What is wrong with a text that is not YAML, where it is, and what would mend it."""

from __future__ import annotations

from typing import Final

import yaml

__all__ = ["syntax_problem"]

# The keys are PyYAML's words.
_KEY_WITHOUT_COLON: Final = "while scanning a simple key"
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
    "mapping values are not allowed here": (
        "; a key's colon needs a blank after it, a text with a colon needs quotes"
    ),
}


def syntax_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int, str]:
    """Line and column at fault, and what is wrong there."""
    mark, begin = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        return 1, 1, f"not valid YAML: {error.problem}"
    if text[mark.index : mark.index + 1] == "\t":
        return mark.line + 1, mark.column + 1, "expected spaces, found a tab"
    if error.context == _KEY_WITHOUT_COLON and begin is not None:
        message = "expected KEY: VALUE, with a blank after the colon"
        return begin.line + 1, begin.column + 1, f"not valid YAML: {message}"
    what = ", ".join(part for part in (error.context, error.problem) if part)
    if begin is not None and begin.line < mark.line and error.context in _OPENED:
        what += f"; it begins in line {begin.line + 1}"
    what += _REMEDIES.get(error.context or error.problem or "", "")
    return mark.line + 1, mark.column + 1, f"not valid YAML: {what}"
