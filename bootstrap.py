#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Set up and start: the one script behind both commands of the README.

``python3 bootstrap.py run`` starts the agent where a CIFS share is mounted and
the kernel can be probed, and replays a packaged recording anywhere else.
``python3 bootstrap.py test`` runs every test, those against the running kernel
and those in virtual machines included.

It needs root and the standard library; the rest it installs: packages from the
distribution, Python libraries into ``.venv``, where the tests write, too. Doing
it again is safe, and fast as long as nothing changed. (Its syntax is that of
Python 3.9, so that it can say that Python is too old.)
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

__all__ = ["Failure", "cifs_mounts", "have_packages", "main", "obstacle", "sources_key"]

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
# Not in the checkout, where root's files would be in its owner's way.
REPLAY_OUTPUT = Path("/var/tmp/aodasync-replay")  # noqa: S108  # refused unless root's alone
OLDEST_PYTHON = (3, 11)
NEWER_PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11", "/usr/bin/python3")
LIVE_PACKAGES = ("python3-bpfcc", "cifs-utils")
TEST_PACKAGES = ("python3-bpfcc", "libbpf1", "linux-libc-dev", "mount", "zstd")
CACHE_VARIABLES = ("MYPY_CACHE_DIR", "PYTHONPYCACHEPREFIX", "RUFF_CACHE_DIR", "XDG_CACHE_HOME")
RECORDINGS = {
    "slow_disk": "the disk of a server is slow",
    "lossy_network": "the network loses packets",
}
TEST_SESSIONS = ("lint", "types", "tests", "minimums", "newer", "kernel", "fuzz", "lab")

EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_NOT_PERMITTED = 64, 69, 77


class Failure(Exception):  # noqa: N818  # a message to the user, not a defect
    """A message to the user: what happened, how to fix it, and the exit code."""

    def __init__(self, what: str, hint: str, code: int = 1) -> None:
        super().__init__(f"{what} (hint: {hint})")
        self.code = code


def say(text: str) -> None:
    """One line of progress; what no terminal should get is a question mark."""
    sys.stdout.write(f"==> {''.join(c if c.isprintable() else '?' for c in text)}\n")
    sys.stdout.flush()


def run_quietly(what: str, argv: list[str], hint: str) -> None:
    """Run a child whose output matters only when it fails: then its last lines are shown."""
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    child = subprocess.run(
        argv, stdin=null, stdout=pipe, stderr=subprocess.STDOUT, cwd=ROOT, check=False
    )
    if child.returncode:
        lines = child.stdout.decode(errors="replace").rstrip().splitlines()
        sys.stderr.write("".join(f"    {line}\n" for line in lines[-20:]))
        raise Failure(f"{what} failed: {argv[0]} ended with {child.returncode}", hint)


def run_here(argv: list[str]) -> None:
    """Run a child on this terminal, to its end."""
    status = subprocess.run(argv, cwd=ROOT, check=False).returncode
    if status:
        raise Failure(f"{argv[0]} ended with {status}", "see its message above")


def start_again(argv: list[str], args: list[str]) -> NoReturn:
    """Become ``argv`` running this script with the same arguments."""
    os.execv(argv[0], [*argv, str(ROOT / "bootstrap.py"), *args])  # noqa: S606  # no shell wanted


def become_root(args: list[str]) -> None:
    """Start again through sudo unless this is root already."""
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    if sudo is None:
        raise Failure("this needs root", "run it as root", EXIT_NOT_PERMITTED)
    say("this needs root: going on through sudo")
    start_again([sudo, sys.executable], args)


def use_new_python(args: list[str]) -> None:
    """Start again under a new enough interpreter unless this one is."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    code = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    for python in filter(None, map(shutil.which, NEWER_PYTHONS)):
        if subprocess.run([python, "-c", code], check=False).returncode == 0:
            say(f"{sys.executable} is too old: going on under {python}")
            start_again([python], args)
    raise Failure(
        f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}",
        "install python3.12 with its venv module",
        EXIT_UNAVAILABLE,
    )


def have_packages(*names: str) -> None:
    """Have the distribution's packages: those that dpkg does not know of are installed."""
    if shutil.which("apt-get") is None:
        say(f"no apt-get here; needed, by whatever name your system has: {', '.join(names)}")
        return
    query = ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *names]
    known = subprocess.run(query, capture_output=True, encoding="utf-8", check=False).stdout
    missing = [n for n in names if f"{n} install ok installed" not in known.splitlines()]
    if not missing:
        return
    say(f"installing {' '.join(missing)} with apt-get")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    install = [*apt, "install", "-y", "--no-install-recommends", *missing]
    hint = "see apt-get's message above; its package mirror must be reachable"
    tried = subprocess.run(install, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if tried.returncode:  # package lists not there yet, or stale
        run_quietly("reading the package lists", [*apt, "update"], hint)
        run_quietly("installing packages", install, hint)


def sources_key(root: Path) -> str:
    """A key that changes whenever anything does that the wheel is built from."""
    folders = [root / name for name in ("aodasync", "bpf", "config")]
    key = hashlib.sha256((root / "pyproject.toml").read_bytes())
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            key.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return key.hexdigest()


def have_venv() -> None:
    """Have ``.venv``, made by this very interpreter."""
    key = f"{os.path.realpath(sys.executable)}\n{sys.version}\n"
    stamp = VENV / "made-by"
    if stamp.is_file() and stamp.read_text() == key and works("pip"):
        return
    if os.pathsep in str(VENV):
        raise Failure(f"Python has no environments in a path with ':': {VENV}", "move the checkout")
    if importlib.util.find_spec("ensurepip") is None:
        have_packages(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")
    say(f"making {VENV} with Python {sys.version.split()[0]}")
    make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    run_quietly("making .venv", make, "install this Python's venv module (python3-venv)")
    stamp.write_text(key)


def works(program: str) -> bool:
    """Whether a program in ``.venv`` starts: its interpreter, or its files, may be gone."""
    try:
        tried = [str(VENV / "bin" / program), "--version"]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def have_in_venv(name: str, requirement: str, key: str) -> None:
    """Have the program ``name``, of ``requirement``, in ``.venv``.

    ``key`` tells whether it is the one already there. A path in ``requirement`` is relative
    to the checkout: pip takes one with a ``;`` in it for something else.
    """
    stamp = VENV / f"installed-{name}"
    had = stamp.is_file() and stamp.read_text() == key
    if had and works(name):
        return
    say(f"installing {name} and what it needs into {VENV}")
    again = ["--force-reinstall"] if had else []
    install = [str(VENV / "bin/pip"), "install", "--quiet", *again, requirement]
    hint = "see pip's message above; its package index must be reachable"
    run_quietly(f"installing {name}", install, hint)
    stamp.write_text(key)


def cifs_mounts(mountinfo: str) -> list[str]:
    """Mount points of CIFS shares in the text of /proc/self/mountinfo (proc(5)).

    Blanks and newlines in names are escaped by the kernel, and nothing else is.
    """
    found = []
    for line in mountinfo.split("\n"):
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.split(" ")[0] in ("cifs", "smb3") and len(fields) > 4:
            found.append(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
    return found


def obstacle(mounts: list[str], btf: Path) -> str:
    """Why the agent cannot watch here, "" if it can; ``btf`` is /sys/kernel/btf."""
    if not mounts:
        return "no CIFS share is mounted here"
    for name in ("vmlinux", "cifs"):
        if not (btf / name).exists():
            return f"this kernel has no BTF of {name}"
    return ""


def run() -> None:
    """The agent where it can watch something, else the packaged recording."""
    mounts = cifs_mounts(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))
    why_not = obstacle(mounts, Path("/sys/kernel/btf"))
    if not why_not:
        have_packages(*LIVE_PACKAGES)
    have_venv()
    have_in_venv("aodasync", ".", sources_key(ROOT))
    if why_not:
        say(f"replaying a recording, as {why_not}")
        replay()
        return
    say(f"watching for real: {len(mounts)} CIFS mount(s), {', '.join(mounts)}; Ctrl-C stops it")
    agent = str(VENV / "bin/aodasync")
    os.execv(agent, [agent, "run"])  # noqa: S606  # no shell wanted


def replay_output() -> Path:
    """Where the replay writes: ``REPLAY_OUTPUT``, or a new place if that is somebody else's."""
    try:
        status = REPLAY_OUTPUT.lstat()
    except FileNotFoundError:
        return REPLAY_OUTPUT
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if mine and not status.st_mode & 0o022:
        return REPLAY_OUTPUT
    return Path(tempfile.mkdtemp(prefix=f"{REPLAY_OUTPUT.name}-", dir=REPLAY_OUTPUT.parent))


def replay() -> None:
    """Replay the packaged recordings; explain each bundle that comes of it, and make its page."""
    agent = str(VENV / "bin/aodasync")
    packages = VENV / "lib/python{}.{}/site-packages".format(*sys.version_info)
    output = replay_output()
    for name, what in RECORDINGS.items():
        recording = packages / "aodasync/recordings" / name
        before = set(output.glob("batches/*.tar.zst"))
        options = ["--config", str(recording / "config.yaml"), "--output-dir", str(output)]
        say(f"a recording: {what}")
        run_here([agent, "replay", str(recording), *options, "--log-format", "console"])
        bundles = sorted(set(output.glob("batches/*.tar.zst")) - before)
        if not bundles:
            raise Failure("the replay ended without a bundle", "this is a defect; please report it")
        for bundle in bundles:
            page = output / f"{bundle.name[: -len('.tar.zst')]}.html"
            say(f"aodasync why {bundle}")
            run_here([agent, "why", str(bundle)])
            say("aodasync report: the page of it, for a browser")
            run_here([agent, "report", str(bundle), "-o", str(page), "--force"])


def test() -> None:
    """Every test session of the noxfile; whatever they write stays below ``.venv``."""
    have_packages(*TEST_PACKAGES)
    have_venv()
    have_in_venv("nox", "nox>=2024.3", "nox>=2024.3")
    for tool in CACHE_VARIABLES:
        os.environ[tool] = str(VENV / "cache" / tool.split("_")[0].lower())
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(VENV / "cache/hypothesis")
    os.environ["PYTEST_ADDOPTS"] = f"-o cache_dir={VENV}/cache/pytest"
    nox = [str(VENV / "bin/nox"), "--envdir", str(VENV / "nox"), "--sessions", *TEST_SESSIONS]
    say(" ".join(nox))
    run_here(nox)


def main(args: list[str]) -> int:
    """Run one command; every failure is one sentence and an exit code."""
    commands = {"run": run, "test": test}
    if len(args) != 1 or args[0] not in commands:
        sys.stderr.write("usage: python3 bootstrap.py run|test\n")
        return EXIT_USAGE
    try:
        use_new_python(args)
        become_root(args)
        os.umask(0o022)
        os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        commands[args[0]]()
    except (Failure, OSError) as error:
        sys.stderr.write(f"bootstrap: error: {error}\n")
        return error.code if isinstance(error, Failure) else 1
    except KeyboardInterrupt:
        return 128 + 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
