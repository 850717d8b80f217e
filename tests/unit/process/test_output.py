# SPDX-License-Identifier: MIT
"""What a child prints is kept within its cap: the beginning and the end."""

from __future__ import annotations

import io
import os
import re
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from aodasync.process.output import HeadTail, capture


@given(chunks=st.lists(st.binary(max_size=40), max_size=30), limit=st.integers(0, 120))
def test_head_and_tail_are_kept_and_the_rest_counted(chunks: list[bytes], limit: int) -> None:
    """For any stream and limit: head + left out + tail is the stream, and within the limit."""
    sink = io.BytesIO()
    kept = HeadTail(sink, limit)
    for chunk in chunks:
        kept.write(chunk)
    left_out = kept.finish()
    whole, written = b"".join(chunks), sink.getvalue()
    if len(whole) <= limit:
        assert (written, left_out) == (whole, 0)
        return
    head, tail = (limit + 1) // 2, limit // 2
    marker = b"\n[... %d bytes left out ...]\n" % left_out
    assert left_out == len(whole) - limit
    assert written == whole[:head] + marker + whole[len(whole) - tail :]


def test_single_bytes_do_not_pile_up() -> None:
    """A child that writes a byte at a time costs no more memory than twice its tail."""
    limit = 200_000
    kept = HeadTail(io.BytesIO(), limit)
    tracemalloc.start()
    for _ in range(300_000):
        kept.write(b"x")
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < limit + 2 * 64 * 1024
    assert kept.finish() == 100_000


def _pipes() -> tuple[io.FileIO, io.FileIO, int, int]:
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    return io.FileIO(out_read), io.FileIO(err_read), out_write, err_write


def test_standard_error_is_a_section_of_its_own() -> None:
    """Complaints follow the output under a title, and are handed back."""
    stdout, stderr, out_write, err_write = _pipes()
    os.write(out_write, b"figures\n")
    os.write(err_write, b"no such thing\n")
    os.close(out_write)
    os.close(err_write)
    stop = os.eventfd(0)
    sink = io.BytesIO()
    captured = capture(stdout, stderr, stop, sink, 10_000)
    os.close(stop)
    assert captured.stderr == b"no such thing\n"
    assert sink.getvalue() == b"figures\n\n--- standard error ---\nno such thing\n"


def test_reading_ends_when_told_to_with_what_was_there() -> None:
    """A pipe that stays open for ever holds nobody: what is in it is kept, and reading ends."""
    stdout, stderr, out_write, err_write = _pipes()
    os.write(out_write, b"last words")
    stop = os.eventfd(1)
    sink = io.BytesIO()
    capture(stdout, stderr, stop, sink, 10_000)
    for descriptor in (stop, out_write, err_write):
        os.close(descriptor)
    assert sink.getvalue() == b"last words"


@given(output=st.integers(0, 30_000), errors=st.integers(0, 20_000), cap=st.integers(400, 20_000))
def test_no_file_exceeds_its_cap(output: int, errors: int, cap: int) -> None:
    """Titles and markers included, never more than the cap is written."""
    stdout, stderr, out_write, err_write = _pipes()
    os.write(out_write, b"o" * output)
    os.write(err_write, b"e" * errors)
    os.close(out_write)
    os.close(err_write)
    stop = os.eventfd(0)
    sink = io.BytesIO()
    captured = capture(stdout, stderr, stop, sink, cap)
    os.close(stop)
    assert len(sink.getvalue()) <= cap
    kept = sink.getvalue().split(b"\n--- standard error")[0]
    assert kept.count(b"o") - kept.count(b"bytes left out") + captured.left_out_bytes == output
    assert bool(captured.left_out_bytes) == bool(re.search(rb"o\n\[\.\.\.", sink.getvalue()))
