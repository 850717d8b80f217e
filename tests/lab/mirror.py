# SPDX-License-Identifier: MIT
"""Where Debian's packages come from: this machine's own apt sources, or the user's word."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .command import run, say
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
    found = choose_mirror(_index_targets()) or choose_mirror(_fetched_index_targets())
    if found is None:
        raise LabError(
            "this machine's apt sources name no Debian archive",
            hint=f"set {VARIABLE}='URI-OF-A-DEBIAN-MIRROR [URI-OF-ITS-SECURITY-ARCHIVE]'",
        )
    return found


def _index_targets(*options: str) -> list[str]:
    # apt itself reads both kinds of source file, and knows whose archive it is from its lists.
    argv = ("apt-get", *options, "indextargets", "--format", _FIELDS, "Created-By: Packages")
    return run(argv).splitlines()


def _fetched_index_targets() -> list[str]:
    """Ask again with fresh lists in a folder of our own: container images come without any."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "lists/partial").mkdir(parents=True)
        options = (f"-oDir::State::Lists={folder}/lists", "-oAPT::Sandbox::User=root")
        say("reading the package lists of this machine's apt sources")
        run(("apt-get", *options, "-q", "update"))
        return _index_targets(*options)


def choose_mirror(targets: Iterable[str]) -> Mirror | None:
    """Choose from apt's index targets (``uri|release|component|origin|label`` lines)."""
    main: str | None = None
    security: str | None = None
    for target in targets:
        uri, release, component, origin, label = target.split("|")
        if component != "main" or origin != "Debian":
            continue
        if label == "Debian-Security":
            security = security or _plain(uri)
        elif "-" not in release or release.endswith("-updates"):
            main = main or _plain(uri)
    return None if main is None else Mirror(main, security)


def _plain(uri: str) -> str:
    """Resolve apt's ``mirror+file:`` method to the first mirror of its list."""
    scheme, _, rest = uri.partition(":")
    if scheme != "mirror+file":
        return uri.rstrip("/")
    entries = Path("/" + rest.strip("/")).read_text(encoding="utf-8").split()
    return entries[0].rstrip("/")
