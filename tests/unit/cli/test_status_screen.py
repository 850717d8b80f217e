# SPDX-License-Identifier: MIT
"""``status`` fits one screen, shows what matters first, and takes any agent's answer."""

from __future__ import annotations

from typing import Any

import pytest

from aodasync.cli import ask_agent
from aodasync.cli import main as cli
from aodasync.cli.status_screen import summary

_STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "config": "/etc/aodasync/config.yaml",
    "uptime_sec": 7200.0,
    "probe": "fentry",
    "blind": False,
    "mounts": {
        "/mnt/a": "//nas/a: usable",
        "/mnt/b": "//other/b: NOT USABLE for 40 s: no response",
    },
    "open_episodes": [
        {
            "anomaly": "hang",
            "server": "other",
            "for_ms": 42_000.0,
            "count": 7,
            "max_latency_ms": 42_000.0,
            "emergency": False,
        }
    ],
    "servers": {
        "nas": {"per_sec": 12.5, "median_ms": 1.2, "p99_ms": 9.0, "errors": 0, "unanswered": 0}
    },
    "in_flight": {
        "count": 3,
        "oldest": {"age_ms": 42_000.0, "command": "SMB2_READ", "comm": "db\x1b[2J", "pid": 7},
    },
    "losses": {"ring_full": 0, "map_full": 4},
    "restarts": {},
    "episodes": {"open": 1},
    "collector": {"bundles_written": 2, "bundles_failed": 0},
    "cpu_sec": 72.0,
    "private_dirty_bytes": 31_000_000,
    "loop_lag_max_ms": 3.0,
}


def test_what_matters_comes_first() -> None:
    """The mount that is not usable before the others, the episode, losses that are not 0."""
    lines = summary(_STATUS).splitlines()
    assert lines[0] == "agent      0.1.0, up 2.0 h, /etc/aodasync/config.yaml"
    assert "/mnt/b" in lines[2]
    assert "NOT USABLE" in lines[2]
    text = "\n".join(lines)
    assert "hang on other for 42 s, 7, worst 42000 ms" in text
    assert "lost       map_full 4" in text
    assert "1.0 % of a CPU, 31 MB private" in text


def test_it_fits_a_terminal_and_does_not_steer_it() -> None:
    """24 lines of 80 columns, however many mounts, episodes and servers there are."""
    many = {
        **_STATUS,
        "mounts": {f"/mnt/{n}": "//nas/x: usable" for n in range(200)},
        "open_episodes": _STATUS["open_episodes"] * 50,
        "servers": {f"nas{n}" * 20: _STATUS["servers"]["nas"] for n in range(50)},
        "losses": {f"stage{n}": 1 for n in range(50)},
    }
    for status in (_STATUS, many):
        lines = summary(status).splitlines()
        assert len(lines) <= 24
        assert all(len(line) <= 80 and line.isprintable() for line in lines)


def test_a_server_leaves_what_concerns_it() -> None:
    """By a part of its name, whatever its case."""
    text = summary(_STATUS, "NAS")
    assert "/mnt/a" in text
    assert "/mnt/b" not in text
    assert "hang" not in text


@pytest.mark.parametrize("form", ["--json", "--all"])
def test_a_server_narrows_every_form(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON and the long text, too: what is of no server stays."""
    monkeypatch.setattr(ask_agent, "ask", lambda *_, **__: _STATUS)
    assert cli.main(["status", "NAS", form]) == 0
    out = capsys.readouterr().out
    assert "/mnt/a" in out
    assert "/etc/aodasync/config.yaml" in out
    assert "/mnt/b" not in out
    assert "SMB2_READ" in out
    assert '"server": "other"' not in out
    assert "for_ms" not in out


def test_an_agent_that_waits_has_a_screen() -> None:
    """Nothing is attached, nothing mounted."""
    text = summary({"probe": "waiting for the cifs module", "uptime_sec": 1})
    assert "waiting for the cifs module" in text
    assert "mounts     none" in text
