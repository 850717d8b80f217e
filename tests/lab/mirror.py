# SPDX-License-Identifier: MIT
"""Where Debian's packages come from: this machine's own apt sources, or the user's word."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .command import find_tool, run
from .errors import LabError
from .hostpackages import KEYRING

VARIABLE = "AODASYNC_LAB_MIRROR"
SUITES_WITH_SECURITY = frozenset({"bullseye", "bookworm", "trixie"})
_FIELDS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(LABEL)"


@dataclass(frozen=True, slots=True)
class Mirror:
    """URIs of a Debian archive and, where known, of its security archive."""

    main: str
    security: str | None

    def sources(self, suite: str) -> list[str]:
        """Return the one-line apt sources of ``suite``."""
        option = f"[signed-by={KEYRING}]"
        lines = [f"deb {option} {self.main} {suite} main"]
        if suite in SUITES_WITH_SECURITY:
            lines.append(f"deb {option} {self.main} {suite}-updates main")
            if self.security is not None:
                lines.append(f"deb {option} {self.security} {suite}-security main")
        return lines


def find_mirror(environ: Mapping[str, str] = os.environ) -> Mirror:
    """Return the mirror named by the environment, else the one apt uses on this machine."""
    named = environ.get(VARIABLE, "").split()
    if named:
        return Mirror(main=named[0], security=named[1] if len(named) > 1 else None)
    found = None
    if find_tool("apt-get") is not None:
        # apt itself reads both kinds of source file; Origin is known once lists were fetched.
        listing = run(("apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"))
        found = choose_mirror(listing.splitlines())
    if found is None:
        raise LabError(
            "this machine's apt sources name no Debian archive",
            hint=f"set {VARIABLE}='URI-OF-A-DEBIAN-MIRROR [URI-OF-ITS-SECURITY-ARCHIVE]'",
        )
    return found


def choose_mirror(targets: Iterable[str]) -> Mirror | None:
    """Choose from apt's index targets (``uri|release|component|origin|label`` lines)."""
    main: str | None = None
    security: str | None = None
    for target in targets:
        uri, release, component, origin, label = target.split("|")
        if component != "main" or not _is_debian(uri, origin):
            continue
        if label == "Debian-Security" or release.endswith("-security"):
            security = security or _plain(uri)
        elif "-" not in release or release.endswith("-updates"):
            main = main or _plain(uri)
    return None if main is None else Mirror(main, security)


def _is_debian(uri: str, origin: str) -> bool:
    if origin.startswith("$"):
        folder = Path(urlsplit(_plain(uri)).path).name
        return folder in {"debian", "debian-security"}
    return origin == "Debian"


def _plain(uri: str) -> str:
    """Resolve apt's ``mirror+file:`` method to the first mirror of its list."""
    scheme, _, rest = uri.partition(":")
    if scheme != "mirror+file":
        return uri.rstrip("/")
    entries = Path("/" + rest.strip("/")).read_text(encoding="utf-8").split()
    return entries[0].rstrip("/")
