# SPDX-License-Identifier: MIT
"""An HTML document that needs nothing else, and runs nothing but our own script.

A content security policy holds the browser to that, whatever a bundle's texts contain: the
one style sheet and the one script are known by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from aodasync.report.html import short

__all__ = ["document"]


def document(title: str, body: str, *, data: str = "") -> str:
    """The document of this body; with ``data`` for the script, the script is in it."""
    style, script = _packaged("style.css"), _packaged("page.js") if data else ""
    runs = f"; script-src '{_hash(script)}'" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        f" style-src '{_hash(style)}'{runs}\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{short(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main>{data}"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


@cache
def _packaged(name: str) -> str:
    return files("aodasync.report").joinpath(name).read_text(encoding="ascii")


@cache
def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("ascii")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
