# SPDX-License-Identifier: MIT
"""No secret is ever written, wherever the text is cut; what is no secret stays."""

from __future__ import annotations

import io
import os
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aodasync.privacy.redaction import MASK, Redactor, redact, redact_text
from aodasync.process.output import capture

_SECRET = b"Hunter2!x"

_PLANTED = [
    b"mount -t cifs //srv/share /mnt -o username=bob,password=%s,vers=3.0",
    b"//srv/share /mnt cifs user=bob,pass=%s,uid=0 0 0",
    b"//srv/share /mnt cifs credentials=/root/%s,uid=0 0 0",
    b"username=bob\npassword=%s\ndomain=X",
    b"  Password2 = %s",
    b"Nov 22 h sudo[1]: bob : PWD=/root ; USER=root ; ENV=PASSWD=%s ; COMMAND=/bin/mount",
    b"PASSWD=%s mount -t cifs //srv/x /mnt",
    b"share -fstype=cifs,rw,username=bob,password=%s ://srv/share",
    b"mount.cifs kernel mount options: ip=1.2.3.4,unc=\\\\a\\b,user=u,password2=%s,pass=%s",
    b'systemd: Options=user=bob,password="%s two"',
    b"mount -o user=u,password=one %s three //srv/x /mnt",
    b"pass=a,,%s,vers=3",
    b'{"password": "%s", "token": "%s"}',
    b"Authorization: Bearer %s",
    b"smbclient //srv/x -U bob%%%s",
    b"mount -o user=bob%%%s,vers=2",
    b"https://bob:%s@host/path",
    b"keyctl add logon cifs:a:1.2.3.4 bob:%s @s",
    b"DefaultEndpointsProtocol=https;AccountKey=%s",
    b"-----BEGIN PRIVATE KEY-----\n%s\n%s\n-----END PRIVATE KEY-----",
]


def _plant(text: bytes, secret: bytes = _SECRET) -> bytes:
    return text % ((secret,) * text.replace(b"%%", b"").count(b"%s"))


@pytest.mark.parametrize("text", _PLANTED)
def test_planted_secrets_go_and_keys_stay(text: bytes) -> None:
    """In command lines, fstab, autofs, credentials files, journals, headers and key blocks."""
    kept = redact(b"before\n" + _plant(text) + b"\nafter\n")
    assert _SECRET not in kept
    assert MASK in kept
    assert kept.startswith(b"before\n")
    assert kept.endswith(b"after\n")


@pytest.mark.parametrize("key", [b"password", b"Pass", b"PASSWORD2", b"PaSsWd", b"credentials"])
def test_the_key_stays_in_its_case(key: bytes) -> None:
    """What was given is seen, and the mount option that follows."""
    kept = redact(b"mount -o a=b," + key + b"=x,vers=3")
    assert kept == b"mount -o a=b," + key + b"=********,vers=3"


def test_keys_that_the_kernel_dumps_go() -> None:
    """With CONFIG_CIFS_DEBUG_DUMP_KEYS, cifs prints session keys to the kernel log."""
    line = b"CIFS: VFS: Session Key   a1 b2 c3 d4 e5 f6 07 18 29 3a\n"
    assert redact(line) == b"CIFS: VFS: Session Key   ********\n"
    assert b"a1b2" not in redact(b"ServerIn Key: a1b2c3d4e5f60718293a4b5c6d7e8f90")


def test_audits_hexadecimal_is_looked_into() -> None:
    """A command line in an audit record is encoded; it goes only if there is a secret in it."""
    secret = b"mount\0-o\0password=Hunter2".hex().upper().encode()
    harmless = b"mount\0-o\0vers=3.0 now".hex().upper().encode()
    assert redact(b"type=PROCTITLE proctitle=" + secret) == b"type=PROCTITLE proctitle=" + MASK
    assert redact(b"type=EXECVE argc=3 a1=" + secret) == b"type=EXECVE argc=3 a1=" + MASK
    assert redact(b"proctitle=" + harmless) == b"proctitle=" + harmless


@pytest.mark.parametrize(
    "line",
    [
        b"Started Dispatch Password Requests to Console Directory Watch.",
        b"bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/mount /mnt",
        b"SecMode: 0x1 Security type: RawNTLMSSP  SessionId: 0xf98007ab Cred User: 0",
        b"//10.9.9.1/share /mnt/smb cifs rw,vers=3.1.1,username=lab,uid=0,soft 0 0",
        b"kernel: Key type cifs.spnego registered; 100% of keys at host@domain",
        b"user=bob%",
    ],
)
def test_harmless_lines_stay_as_they_are(line: bytes) -> None:
    """Words alone are no secrets."""
    assert redact(line + b"\n") == line + b"\n"


_lines = st.lists(
    st.sampled_from([_plant(text) for text in _PLANTED])
    | st.binary(max_size=60).filter(lambda data: _SECRET not in data),
    max_size=8,
).map(b"\n".join)


@given(text=_lines, cuts=st.lists(st.integers(0, 2000), max_size=20))
def test_where_the_text_is_cut_makes_no_difference(text: bytes, cuts: list[int]) -> None:
    """For any chunks: the same as in one piece, and no planted secret."""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    redactor = Redactor()
    kept = b"".join(redactor.feed(text[a:b]) for a, b in pairwise(places))
    kept += redactor.finish()
    assert kept == redact(text)
    assert _SECRET not in kept


_LONG = 64 * 1024


@given(
    text=st.sampled_from([_plant(t) for t in _PLANTED if b"\n" not in t and b"  Pass" not in t]),
    before=st.integers(_LONG - 400, _LONG + 400),
    after=st.integers(0, 3 * _LONG),
    filler=st.sampled_from([b"x", b" ", b",", b"x y,"]),
    step=st.sampled_from([1000, 4096, _LONG, 1 << 20]),
)
@example(text=b"https://bob:Hunter2!x@host/path", before=_LONG, after=10, filler=b"x", step=1000)
@settings(max_examples=30, deadline=None)
def test_lines_too_long_to_hold_tell_no_secret(
    text: bytes, before: int, after: int, filler: bytes, step: int
) -> None:
    """Around every border of a piece of an endless line, too."""
    line = (filler * before)[:before] + b" " + text + b"," + (filler * after)[:after]
    redactor = Redactor()
    kept = b"".join(redactor.feed(line[n : n + step]) for n in range(0, len(line), step))
    assert _SECRET not in kept + redactor.finish()


def test_a_value_without_end_is_dropped_to_the_end_of_its_line() -> None:
    """A value longer than any piece neither fills the memory nor reaches the file."""
    redactor = Redactor()
    kept = redactor.feed(b"x password=")
    for _ in range(50):
        kept += redactor.feed(b"Hunter2!" * 8192)
        assert len(redactor._held) <= _LONG + 8 * 8192
    kept += redactor.feed(b"Hunter2!\nnext line\n") + redactor.finish()
    assert kept == b"x password=********\nnext line\n"


def test_secrets_are_gone_before_output_is_cut() -> None:
    """Whatever the cap, head and tail never hold the second half of a secret."""
    text = b"".join(b"line %d password=%s,x\n" % (n, _SECRET) for n in range(200))
    for cap in range(1000, 1100):
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        os.write(out_write, text)
        os.write(err_write, b"mount error: password=%s" % _SECRET)
        os.close(out_write)
        os.close(err_write)
        stop = os.eventfd(0)
        sink = io.BytesIO()
        captured = capture(io.FileIO(out_read), io.FileIO(err_read), stop, sink, cap)
        os.close(stop)
        assert b"unter2" not in sink.getvalue() + captured.stderr
        assert len(sink.getvalue()) <= cap


def test_text_survives_odd_bytes() -> None:
    """Strings with undecodable bytes come back as they were."""
    odd = b"a\xff password=x".decode("utf-8", "surrogateescape")
    assert redact_text(odd) == odd.replace("=x", "=********")
