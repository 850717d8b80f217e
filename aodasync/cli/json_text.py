# SPDX-License-Identifier: MIT
"""JSON for people and programs: indented, unless there is so much that nobody reads it."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["json_text"]

_MOST_INDENTED: Final = 1 << 20  # lists within lists grow twentyfold by blanks alone


def json_text(value: Any) -> str:
    """The value and a newline."""
    text = json.dumps(value)
    return (text if len(text) > _MOST_INDENTED else json.dumps(value, indent=2)) + "\n"
