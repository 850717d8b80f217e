# SPDX-License-Identifier: MIT
"""What reaches a terminal cannot steer it."""

from __future__ import annotations

import io

import pytest

from aodasync.cli import main as cli
from aodasync.cli.commands import COMMANDS
from aodasync.errors import RecordingError
from aodasync.host.printable import PrintableStream, printable, printable_text
from aodasync.status import render

_BAD = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "steering", ["\x1b", "\x07", "\r", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ud800"]
)
def test_what_steers_a_terminal_is_replaced(steering: str) -> None:
    """Control characters, bidirectional overrides, invisible ones, halves of surrogates."""
    assert printable(f"a{steering}b") == printable_text(f"a{steering}b") == f"a{_BAD}b"


def test_other_text_stays() -> None:
    """Letters of any language, hard blanks and signs; lines only where lines are meant."""
    for text in ("plain", "Größe 5\u00a0ms", "共有", "пример", "\N{MIDDLE DOT}"):
        assert printable(text) == text
    assert printable_text("one\ttwo\nthree\n") == "one\ttwo\nthree\n"
    assert printable("one\ttwo\nthree") == f"one two{_BAD}three"


def test_a_stream_of_another_encoding_is_written_to() -> None:
    """What the terminal's encoding lacks is a question mark, not an error."""
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    stream = PrintableStream(raw)
    stream.write("Größe\x1b\n")
    stream.flush()
    assert raw.buffer.getvalue() == b"Gr??e?\n"


def test_both_streams_of_every_command_are_printable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a command prints, and whatever its error says, in one line."""

    def noisy(*_: object) -> int:
        print("out\x1b[2J\u202e")
        raise RecordingError("bad\x1b]0;title\x07\nsecond line")

    monkeypatch.setitem(COMMANDS, "config-schema", noisy)
    assert cli.main(["config-schema"]) == 1
    out, err = capsys.readouterr()
    assert out == f"out{_BAD}[2J{_BAD}\n"
    assert err == f"aodasync: error: bad{_BAD}]0;title{_BAD}{_BAD}second line\n"


def test_status_is_printable() -> None:
    """Names of servers and processes come from elsewhere."""
    assert render({"servers": {"nas\x1b[2J": {"comm": "a\nb"}}}) == (
        f"servers:\n  nas{_BAD}[2J:\n    comm: a{_BAD}b\n"
    )
