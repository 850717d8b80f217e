# SPDX-License-Identifier: MIT
"""The queries of docs/fleet.md, over 10,000 manifests of 500 hosts whose troubles are known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import aodasync
from aodasync.bundle.archive import read_manifest
from aodasync.host.facts import host_facts

PACKAGE = Path(aodasync.__file__).parent
RECORDING = PACKAGE / "recordings" / "slow_server"
BLOCKS = re.findall(r"```sql\n(.*?)```", (PACKAGE.parent / "docs/fleet.md").read_text(), re.DOTALL)
HOSTS, MANIFESTS = 500, 10_000
DAY = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real one, of the packaged recording."""
    directory = tmp_path_factory.mktemp("replayed")
    argv = [sys.executable, "-m", "aodasync", "replay", str(RECORDING)]
    argv += ["--config", str(RECORDING / "config.yaml"), "--output-dir", str(directory)]
    subprocess.run(argv, cwd=PACKAGE.parent, stdout=subprocess.DEVNULL, check=True)
    (written,) = directory.glob("batches/*.tar.zst")
    return written


def _manifest(bundle: Path) -> dict[str, Any]:
    """A bundle's, with what a live host adds and without what is long."""
    manifest = {**read_manifest(bundle), **host_facts()}
    for bulky in ("actions", "events", "probe", "who", "replayed"):
        del manifest[bulky]
    assert manifest["episode"].keys() >= {"number", "began_realtime_ns", "worst_ms"}
    assert manifest["verdict"].keys() >= {"cause", "confidence", "sentence"}
    return manifest


def _episodes() -> Iterator[tuple[int, str, str, str, datetime, float]]:
    """Host, server, anomaly, cause, beginning, the worst request in ms."""
    for host in range(400):  # nas-1 stands still at three o'clock
        yield host, "nas-1", "hang", "server", DAY + timedelta(hours=3, seconds=host), 60_000.0
    for host in range(100, 180):  # a network at five
        yield host, "nas-2", "latency", "network", DAY + timedelta(hours=5, seconds=host), 900.0
    for hour in range(6, 24):  # one host that is slow by itself, at a server of its own
        yield 499, "nas-3", "latency", "client", DAY + timedelta(hours=hour), 300.0


@pytest.fixture(scope="module")
def lake(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A database with the views, over 10,000 files as the hook of contrib/ lays them out."""
    directory = tmp_path_factory.mktemp("fleet")
    template = _manifest(bundle)
    for host in range(HOSTS):
        (directory / "manifests" / f"host-{host}").mkdir(parents=True)
    episodes = list(_episodes())
    for number in range(MANIFESTS):
        host, server, anomaly, cause, began, worst_ms = episodes[number % len(episodes)]
        lap = number // len(episodes)  # an episode has a bundle each minute that it lasts
        name = f"aod_quick_{(began + timedelta(minutes=lap)).timestamp():.0f}000000000_{anomaly}"
        losses = {**template["losses"], "ring_full": 7 if number == 0 else 0}
        episode = {"number": 1 + began.hour, "worst_ms": worst_ms, "open": True}
        episode["began_realtime_ns"] = round(began.timestamp()) * 10**9
        made = {
            **template,
            "bundle": name,
            "host": f"host-{host}",
            "anomaly": {**template["anomaly"], "name": anomaly, "server": server},
            "episode": {**template["episode"], **episode},
            "verdict": {**template["verdict"], "cause": cause if lap else "unknown"},
            "losses": losses,
        }
        path = directory / "manifests" / f"host-{host}" / f"{name}.json"
        path.write_text(json.dumps(made))
    # Over files as small as these, two threads take twice the time of one.
    database = duckdb.connect(config={"threads": 1})
    views = BLOCKS[0].replace("'manifests/", f"'{directory}/manifests/")
    database.execute(views)
    return database


def test_which_server_hurt_how_many_hosts_when_with_which_cause(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    """Hosts are counted once, however many bundles they wrote; the last verdict counts."""
    rows = lake.execute(BLOCKS[1]).fetchall()
    naive = DAY.replace(tzinfo=None)
    assert rows == [
        ("nas-1", naive + timedelta(hours=3), 400, 400, "server", 60_000.0),
        ("nas-2", naive + timedelta(hours=5), 80, 80, "network", 900.0),
    ]


def test_a_host_that_suffers_alone_is_found(lake: duckdb.DuckDBPyConnection) -> None:
    """And none of those whose server hurt others, too."""
    assert lake.execute(BLOCKS[2]).fetchall() == [("host-499", "nas-3", 18, "client")]


def test_the_other_queries_count_what_was_made(lake: duckdb.DuckDBPyConnection) -> None:
    """By kernel and anomaly; losses; the sentences of one server."""
    by_kernel, losses, sentences = (lake.execute(block).fetchall() for block in BLOCKS[3:-1])
    assert [row[1:] for row in by_kernel] == [("hang", 400, 400), ("latency", 98, 81)]
    assert losses == [("ring_full", 1, 1, 7)]
    assert len(sentences) == 20
    assert {row[2] for row in sentences} == {"hang"}
    assert sentences[0][0] > sentences[-1][0]


def test_every_manifest_was_read(lake: duckdb.DuckDBPyConnection) -> None:
    """None is left out for its form."""
    assert lake.execute("SELECT count(*) FROM manifests").fetchall() == [(MANIFESTS,)]


_RCLONE = """#!/bin/sh
[ "$1 $2 $3" = "--config /etc/rclone.conf --immutable" ] || exit 9
[ "$4" = copyto ] || exit 9
to={remote}/${{6#bundles:smb/}}
mkdir -p "$(dirname "$to")" && cp "$5" "$to"
"""


def test_the_hook_lays_files_out_as_the_queries_read_them(bundle: Path, tmp_path: Path) -> None:
    """Bundle and manifest by host, with an rclone that copies into a directory."""
    remote, programs = tmp_path / "remote", tmp_path / "bin"
    programs.mkdir()
    (programs / "rclone").write_text(_RCLONE.format(remote=remote))
    (programs / "sleep").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "BUNDLE": str(bundle)}
    hook = PACKAGE.parent / "contrib/hooks/upload-bundle"
    subprocess.run(["/bin/sh", hook], env=environment, check=True)
    (manifest,) = remote.glob("manifests/*/*.json")
    (copied,) = remote.glob("bundles/*/*.tar.zst")
    assert copied.read_bytes() == bundle.read_bytes()
    assert manifest.parent.name == copied.parent.name == host_facts()["host"]
    database = duckdb.connect()
    database.execute(BLOCKS[0].replace("'manifests/", f"'{remote}/manifests/"))
    (row,) = database.execute("SELECT server, anomaly, cause FROM episodes").fetchall()
    assert row == ("10.9.9.1", "latency", read_manifest(bundle)["verdict"]["cause"])


def test_the_requests_of_a_bundle_become_parquet(bundle: Path, tmp_path: Path) -> None:
    """All of them, with numbers as numbers, for the guide's query."""
    target = tmp_path / "requests.parquet"
    argv = [sys.executable, "-m", "aodasync", "bundles", "events", str(bundle)]
    subprocess.run([*argv, "--parquet", str(target)], cwd=PACKAGE.parent, check=True)
    (found,) = (
        duckdb.read_parquet(str(target))
        .aggregate("count(*), max(latency_ms), typeof(any_value(latency_ms))")
        .fetchall()
    )
    assert found[0] == read_manifest(bundle)["events"]["count"]
    assert found[1] > 100
    assert found[2] == "DOUBLE"
    query = BLOCKS[-1].replace("'requests.parquet'", f"'{target}'")
    rows = duckdb.connect().execute(query).fetchall()
    assert sum(count for _, _, count, _ in rows) == found[0]
