# SPDX-License-Identifier: MIT
"""The host's pip settings, in the form that carries them into a chroot."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PASSED = re.compile(r"PIP_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|(https?|all|no)_proxy", re.IGNORECASE)


def pip_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that say how this host reaches its package index."""
    settings = {name: value for name, value in environ.items() if _PASSED.fullmatch(name)}
    for name, value in _configured().items():
        settings.setdefault(name, value)
    return settings


def _configured() -> dict[str, str]:
    argv = (sys.executable, "-m", "pip", "config", "list")
    listing = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return parse_config(listing)


def parse_config(listing: str) -> dict[str, str]:
    """Turn the lines of ``pip config list`` (``section.key='value'``) into variables."""
    settings = {}
    for line in listing.splitlines():
        match = re.fullmatch(r"(global|install|download)\.([a-z-]+)=(['\"].*['\"])", line)
        if match is not None:
            name = f"PIP_{match[2].replace('-', '_').upper()}"
            settings[name] = str(ast.literal_eval(match[3])).replace("\n", " ")
    return settings


def host_paths(settings: Mapping[str, str]) -> list[Path]:
    """Return the host folders that the settings point at: certificates, local indexes."""
    folders = {Path("/etc/ssl")}
    for name, value in settings.items():
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # An index may point at files beside its own folder.
                beside = name.endswith("INDEX_URL") or path.is_file()
                folders.add(path.parent if beside and path.parent != Path("/") else path)
    return sorted(path for path in folders if not folders & set(path.parents))
