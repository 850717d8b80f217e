# SPDX-License-Identifier: MIT
"""Anybody can write to the system's log: no line makes the search for secrets take long."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.privacy.redaction import CpuBudget, Redactor

_KEYWORDS: Final = (
    *("password", "pass", "pw", "secret", "token", "cred", "key", "session key", "sig", "hash"),
    *("authorization", "cookie", "bearer", "eyJ", "TlRMTVNT", "-U a", "-p", "--token", "user=a"),
    *(
        "sshpass",
        "curl -u a",
        "wbinfo -a",
        "net use",
        "smbclient //a",
        "mysql",
        "echo",
        "keyctl add",
    ),
    *("logon cifs:", "audit( a1=", "proctitle=ab", "Unknown parameter '", "<password", "name=key"),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "$6$",
        "//a:",
        "machine",
        "login a password",
        "(0x",
        "%",
        "==",
    ),
    *("password is", "password for a:", "password (", "<<<", "(echo a;", "yes ", "ldapsearch -w"),
    *("net user a", "samba-tool user add a", "smb://a:b", "%2f%2fa%3a", "\\/\\/a:", "basic "),
    *(
        "password REG_SZ",
        "unknown option",
        "mount option",
        "value='a' key=",
        "password\x1b[0m",
        '"auth":"',
        "--hashes",
    ),
)
_SEPARATORS: Final = (
    *(" ", "\t", "=", ":", ",", '"', "'", "\\", '\\"', "[", "{", "(", "-", "/", "@"),
)
_UNITS: Final = (
    "pass=1;", "token=1,x", ",password=1", "password=a,b /c ", '"pass":{', '"pass":["', "key:[",
    'password="', "password='", "user=", "//a:b", "eyJhbGciOiJIUzI1NiJ9.", "a1=abcdefabcdef ",
    "sshpass -p", "login -p ", "-U a% ", "</x<password>", "sig=1&", "00" * 20, "smb://a:b c ",
    "password is a", "password for a: ", "echo a;", "%2f%2fa%3ab", "password was to ",
    "YSBwYXNzd29yZA", "mysql a -", "{token a ", "<key password=", "\\\\u0026sig=a", "key 0000: a1 ",
    "a" * 32 + ":", "'password=a',", "nmcli password a ", "=password=a: ", '"key":{"a":1',
)  # fmt: skip


def _cpu_sec(data: bytes) -> float:
    redactor = Redactor()
    begun_sec = time.process_time()
    for at in range(0, len(data), 65536):
        redactor.feed(data[at : at + 65536])
    redactor.finish()
    return time.process_time() - begun_sec


def _text(unit: str, line_bytes: int, size: int) -> bytes:
    """Lines of ``line_bytes`` that repeat ``unit``, or one line of it for 0."""
    line = unit.encode() * (1 + (line_bytes or size) // len(unit))
    lines = line[: line_bytes or size] + b"\n"
    return lines * max(1, size // len(lines))


def _assert_linear(unit: str, line_bytes: int) -> None:
    """Twice the text takes twice the time, but for what a busy machine adds."""
    size = 32 * 1024
    for _ in range(5):
        once, twice = (
            min(_cpu_sec(_text(unit, line_bytes, n)) for _ in (1, 2)) for n in (size, 2 * size)
        )
        if twice <= 2.6 * once or twice < 0.01:
            return
    pytest.fail(f"{unit!r}: {once * 1e3:.1f} ms, twice of it {twice * 1e3:.1f} ms")


@pytest.mark.parametrize("line_bytes", [0, 8000, 400])
@pytest.mark.parametrize("unit", _UNITS)
def test_twice_the_text_takes_twice_the_time(unit: str, line_bytes: int) -> None:
    """For what nearly is a secret, over and over: in one line, in long ones, in short ones."""
    _assert_linear(unit, line_bytes)


_MOST_SEC_PER_BYTE: Final = 25e-6  # ten times what the worst took on an idle machine


@pytest.mark.parametrize("keyword", _KEYWORDS)
def test_no_run_behind_a_keyword_takes_long(keyword: str) -> None:
    """A keyword, 8,000 separators of any kind, and again."""
    for separator in _SEPARATORS:
        line = (keyword + separator * (8000 // len(separator)) + "\n").encode() * 2
        assert _cpu_sec(line) < _MOST_SEC_PER_BYTE * len(line), separator


@given(
    parts=st.lists(
        st.sampled_from([*_KEYWORDS, *_SEPARATORS, *_UNITS, "a", "0"]), min_size=1, max_size=6
    ),
    line_bytes=st.sampled_from([100, 1000, 8000, 16000]),
)
@settings(max_examples=60, deadline=None)
def test_no_mixture_takes_long(parts: list[str], line_bytes: int) -> None:
    """Keywords and separators in any order, repeated."""
    data = _text("".join(parts), line_bytes, 16 * 1024)
    assert _cpu_sec(data) < _MOST_SEC_PER_BYTE * len(data)


def test_what_the_budget_does_not_cover_is_left_out() -> None:
    """Beyond its CPU time nothing is passed on; how much that was is counted, and said."""
    line = b"password=Hunter2 pass=1 \n"
    lines = line * 20_000
    redactor = Redactor(CpuBudget(0.05))
    kept = b"".join(redactor.feed(lines[n : n + 65536]) for n in range(0, len(lines), 65536))
    kept += redactor.finish()
    assert b"Hunter2" not in kept
    assert 0 < kept.count(b"********") < 20_000
    searched, note = kept.rsplit(b"\n[... ", 1)
    assert note == b"%d bytes left out: out of time to search them for secrets ...]\n" % (
        redactor.left_out_bytes
    )
    assert redactor.left_out_bytes == len(lines) - len(line) * searched.count(b"\n")


def test_a_budget_that_is_stopped_ends_the_search_at_once() -> None:
    """So an action that is told to end does."""
    budget = CpuBudget()
    redactor = Redactor(budget)
    assert redactor.feed(b"one\n") == b"one\n"
    budget.stop()
    assert redactor.feed(b"two\n") == b""
    assert redactor.left_out_bytes == 4


def _longest_search_sec() -> float:
    """Between two pauses of one search of 280 kB, in CPU time of this thread."""
    pauses: list[float] = []
    redactor = Redactor(between=lambda: pauses.append(time.thread_time()))
    redactor.feed(b"key=1 pass=1;\n" * 20_000)
    assert len(pauses) > 10
    return max(b - a for a, b in pairwise(pauses))


def test_the_search_pauses_every_few_milliseconds() -> None:
    """A thread that searches lets the event loop in, however long the text is.

    What an emulated CPU was taken away for counts as time of the thread, in one search of three;
    a long search without a pause is in each.
    """
    assert min(_longest_search_sec() for _ in range(3)) < 0.015
