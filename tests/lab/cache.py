# SPDX-License-Identifier: MIT
"""The cache: whole directories, built aside and renamed, found again by what determines them.

An entry is ``KIND-RECIPE-CONTENT``: the recipe is a hash of what the lab asks for, the content a
hash of what the archives answered (package versions). ``KIND-RECIPE.current`` is a symbolic link
to the newest content. A run without ``--build`` follows the link and asks no archive.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .command import remove_tree, say

UNUSED_DAYS = 14


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that the environment gives the lab to keep its images in."""
    if named := environ.get("AODASYNC_LAB_CACHE"):
        return Path(named).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "aodasync-lab"


def digest(value: object) -> str:
    """Return 12 hexadecimal digits that stand for a JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path, *, waiting: str | None = None) -> Iterator[None]:
    """Hold an exclusive flock on ``path``; say ``waiting`` if another holds it."""
    descriptor = _open_lock(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                say(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    try:
        # Without O_CREAT first: fs.protected_regular refuses to create over another user's file.
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class Cache:
    """A folder of finished entries."""

    def __init__(self, root: Path, *, refresh: bool = False) -> None:
        self.root = root
        self._refresh = refresh
        self._fresh: set[str] = set()

    def entry(
        self,
        kind: str,
        recipe: object,
        content: Callable[[], object],
        build: Callable[[Path], None],
    ) -> Path:
        """Return the directory of an entry, building it if it is missing or no longer current.

        ``content`` tells what the archives offer now; it is asked only when there is no entry
        yet or a refresh was wanted. ``build`` fills an empty directory.
        """
        name = f"{kind}-{digest(recipe)}"
        link = self.root / f"{name}.current"
        if (not self._refresh or name in self._fresh) and link.exists():
            return self._used(link)
        with locked(self.root / "locks" / name, waiting=f"waiting for another lab's {kind}"):
            if self._refresh or not link.exists():
                directory = self.root / f"{name}-{digest(content())}"
                if not directory.exists():
                    self._build(kind, directory, build)
                _point(link, directory)
            self._fresh.add(name)
            return self._used(link)

    def _build(self, kind: str, directory: Path, build: Callable[[Path], None]) -> None:
        started = time.monotonic()
        # The lock says that nobody is building this: whatever is half-built was left behind.
        for stale in self.root.glob(f"{directory.name}.partial-*"):
            remove_tree(stale)
        partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=self.root))
        try:
            partial.chmod(0o755)
            build(partial)
            partial.rename(directory)
        finally:
            if partial.exists():
                remove_tree(partial)
        say(f"built {kind} in {time.monotonic() - started:.0f} s")

    @staticmethod
    def _used(link: Path) -> Path:
        directory = link.resolve(strict=True)
        os.utime(directory)
        return directory

    def prune(self) -> None:
        """Remove the entries that no run has used for ``UNUSED_DAYS`` days."""
        oldest = time.time() - UNUSED_DAYS * 86400
        for path in self.root.iterdir():
            if path.name in {"apt", "locks"} or path.lstat().st_mtime > oldest:
                continue
            if path.is_symlink() and path.exists():
                continue
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)


def _point(link: Path, directory: Path) -> None:
    aside = link.with_name(f"{link.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(directory.name)
    aside.rename(link)
